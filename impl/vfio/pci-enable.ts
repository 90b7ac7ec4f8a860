/** What vfio-pci does to the function when its device is opened, and when it is closed. */
import type { Errno } from '../kernel/errno.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import { devSetTryReset } from './hot-reset.ts';
import { hasAfFlr, PCI_COMMAND_IO, PCI_COMMAND_MEMORY, PCI_D0, type VfioPciDevice } from './pci-device.ts';
import { vfioPciDmaBufCleanup } from './pci-dmabuf-revoke.ts';
import { lowPowerExit, runtimeGet, runtimePut } from './power.ts';
import { tryResetFunction } from './reset.ts';

const BARS = 6;

/**
 * `vfio_pci_core_enable()`: wake the function, reset it, set up its virtual configuration with memory on, claim its
 * BARs.
 * Locks: caller holds dev_set->lock; nobody else uses the device yet
 * Fails: EIO, EAGAIN, ENOMEM; the device is left asleep
 */
export function* coreEnable(device: VfioPciDevice): Thread<Errno | undefined> {
  const asleep = yield* runtimeGet(device);
  if (asleep !== undefined) return asleep;
  const failed = setUp(device);
  if (failed !== undefined) yield* runtimePut(device);
  return failed;
}

function setUp(device: VfioPciDevice): Errno | undefined {
  device.power = PCI_D0;
  if (tryResetFunction(device) !== undefined) return 'EAGAIN';
  device.resetWorks = device.resets.length > 0 || hasAfFlr(device);
  device.needsReset = false;
  if (shouldFail('vfio_config_init')) return 'ENOMEM';
  device.vconfig = { command: PCI_COMMAND_IO | PCI_COMMAND_MEMORY, devctl: 0 };
  const memory = device.noCommandMemory ? 0 : PCI_COMMAND_MEMORY;
  Object.assign(device.physical, { command: PCI_COMMAND_IO | memory, barsProgrammed: true });
  for (let bar = 0; bar < BARS; bar++) {
    const resource = device.bars.get(bar);
    device.barErr[bar] = resource === undefined || device.pci.nonMappableBars ? 'ENODEV' : resource.claimErr;
  }
  return undefined;
}

/**
 * `vfio_pci_core_close_device()`: the buffers go first, because an importer may touch the function until it has been
 * told.
 * Locks: caller holds dev_set->lock; takes memory_lock for writing
 */
export function* coreCloseDevice(device: VfioPciDevice): Thread {
  yield* vfioPciDmaBufCleanup(device);
  yield* coreDisable(device);
}

/**
 * `vfio_pci_core_disable()`: leave low power, give back the BARs, forget the virtual configuration, reset the function.
 * It has no buffers left, so nobody is told. Where it cannot be reset alone, all of the set are, by the last to close.
 */
function* coreDisable(device: VfioPciDevice): Thread {
  yield* lowPowerExit(device);
  device.power = PCI_D0;
  device.vconfig = undefined;
  device.barErr.length = 0;
  device.needsReset = !device.resetWorks || tryResetFunction(device) !== undefined;
  yield* devSetTryReset(device);
  yield* runtimePut(device);
}
