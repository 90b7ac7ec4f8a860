/** Writes to configuration space that take memory away or give it back. The user writes registers; the rest follows. */
import type { Errno } from '../kernel/errno.ts';
import { preempt, shouldFail, type Thread } from '../kernel/thread.ts';
import {
  hasAfFlr,
  PCI_COMMAND_IO,
  PCI_COMMAND_MEMORY,
  type PowerState,
  type VfioPciDevice,
  vconfigOf,
} from './pci-device.ts';
import { restoreIfEnabled } from './pci-dmabuf-revoke.ts';
import { lockAndSetPowerState } from './power.ts';
import { tryResetFunction } from './reset.ts';
import { takeBack } from './take-back.ts';

/** Registers of the standard header. */
export const PCI_COMMAND = 4;

/** `PCI_EXP_DEVCTL_BCR_FLR`: Initiate Function Level Reset, in the PCI Express capability. */
export const PCI_EXP_DEVCTL_BCR_FLR = 0x8000;
/** Initiate Function Level Reset, in the Advanced Features capability. */
export const PCI_AF_CTRL_FLR = 0x01;

/**
 * `vfio_basic_config_write()`: `count` bytes at `offset` of the standard header. Only what starts at PCI_COMMAND
 * switches memory; a write to the register's upper byte does not.
 * Locks: takes memory_lock for writing
 * Fails: EIO from the bus; after a failed write with memory off the buffers stay revoked
 */
export function* basicConfigWrite(
  device: VfioPciDevice,
  offset: number,
  count: number,
  value: number,
): Thread<Errno | undefined> {
  if (offset !== PCI_COMMAND) {
    if (offset === PCI_COMMAND + 1) writeCommand(device, 0xff00, value << 8);
    return undefined;
  }
  if (shouldFail('pci_user_read_config_word')) return 'EIO';
  const memory = (value & PCI_COMMAND_MEMORY) !== 0;
  yield device.memoryLock.write;
  try {
    if (!memory) {
      yield* takeBack(device);
    }
    if (wasResetElsewhere(device, value)) restoreBars(device);
    // The bus takes its time, and a hot reset asks who has the lock meanwhile. To turn memory off takes longer anyway.
    if (memory) yield preempt;
    if (shouldFail('pci_user_write_config_word')) return 'EIO';
    writeCommand(device, count === 1 ? 0x00ff : 0xffff, value);
    yield* restoreIfEnabled(device);
  } finally {
    device.memoryLock.releaseWrite();
  }
  return undefined;
}

/** The bits of `mask` in PCI_COMMAND become those of `value`, as far as the function has them. */
function writeCommand(device: VfioPciDevice, mask: number, value: number): void {
  const { physical, noCommandMemory, environment } = device;
  const vconfig = vconfigOf(device);
  vconfig.command = (vconfig.command & ~mask) | (value & mask);
  if (environment.removed) return;
  const there = noCommandMemory ? mask & ~PCI_COMMAND_MEMORY : mask;
  physical.command = (physical.command & ~there) | (value & there);
}

/**
 * A reset behind the kernel's back: the BARs have lost their addresses, or what the user has enabled and enables again
 * is off.
 */
function wasResetElsewhere(device: VfioPciDevice, value: number): boolean {
  const { physical, noCommandMemory } = device;
  const enabled = vconfigOf(device).command & value & ~commandRead(device);
  const minded = noCommandMemory ? PCI_COMMAND_IO : PCI_COMMAND_IO | PCI_COMMAND_MEMORY;
  return !physical.barsProgrammed || (enabled & minded) !== 0;
}

/** PCI_COMMAND as the bus answers: of a function that is not there, all ones. */
const commandRead = ({ physical, environment }: VfioPciDevice): number =>
  environment.removed ? 0xffff : physical.command;

/** `vfio_bar_restore()` */
function restoreBars({ physical, environment }: VfioPciDevice): void {
  if (!environment.removed) physical.barsProgrammed = true;
}

/**
 * `vfio_exp_config_write()`: the device control register. A function level reset is asked for by a bit that always
 * reads 0; whether the reset comes about is not reported.
 * Locks: takes memory_lock for writing
 */
export function* expConfigWrite(device: VfioPciDevice, devctl: number): Thread<Errno | undefined> {
  vconfigOf(device).devctl = devctl & ~PCI_EXP_DEVCTL_BCR_FLR;
  if ((devctl & PCI_EXP_DEVCTL_BCR_FLR) !== 0 && device.resets.includes('flr')) yield* functionLevelReset(device);
  return undefined;
}

/**
 * `vfio_af_config_write()`: the control register of Advanced Features, which has but that one bit.
 * Locks: takes memory_lock for writing
 */
export function* afConfigWrite(device: VfioPciDevice, ctrl: number): Thread<Errno | undefined> {
  if ((ctrl & PCI_AF_CTRL_FLR) !== 0 && hasAfFlr(device)) yield* functionLevelReset(device);
  return undefined;
}

function* functionLevelReset(device: VfioPciDevice): Thread {
  yield device.memoryLock.write;
  try {
    yield* takeBack(device);
    tryResetFunction(device);
    yield* restoreIfEnabled(device);
  } finally {
    device.memoryLock.releaseWrite();
  }
}

/**
 * `vfio_pm_config_write()`: the power management control register. That a state was refused is not reported.
 * Locks: takes memory_lock for writing
 */
export function* pmConfigWrite(device: VfioPciDevice, pmcsr: number): Thread<Errno | undefined> {
  yield* lockAndSetPowerState(device, (pmcsr & 3) as PowerState);
  return undefined;
}
