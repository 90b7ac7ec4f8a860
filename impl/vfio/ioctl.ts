/** The calls on a bound device's descriptor, each a whole system call: EBADF, EINVAL and EIO as `withAccess` says. */
import type { Errno } from '../kernel/errno.ts';
import { Eventfd } from '../kernel/eventfd.ts';
import type { FdTable } from '../kernel/file.ts';
import type { Thread } from '../kernel/thread.ts';
import type { Bytes, U64 } from '../kernel/units.ts';
import { withAccess } from './access.ts';
import { regionOffset } from './bar-mapping.ts';
import {
  afConfigWrite,
  basicConfigWrite,
  expConfigWrite,
  PCI_AF_CTRL_FLR,
  PCI_COMMAND,
  PCI_EXP_DEVCTL_BCR_FLR,
  pmConfigWrite,
} from './config-space.ts';
import { hotReset } from './hot-reset.ts';
import {
  PCI_COMMAND_IO,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  type PowerState,
  type VfioPciDevice,
} from './pci-device.ts';
import { exportDmaBuf } from './pci-dmabuf.ts';
import { revokeForGood, setMemAttr } from './pci-dmabuf-feature.ts';
import type { DmaRange } from './pci-dmabuf-ranges.ts';
import { lowPowerEntry, lowPowerExit } from './power.ts';
import { resetFunction } from './reset.ts';

/** VFIO_DEVICE_FEATURE_DMA_BUF: the new buffer's descriptor. */
export function vfioExport(
  device: VfioPciDevice,
  region: number,
  ranges: readonly DmaRange[],
  flags: U64,
  fds: FdTable,
  openFlags?: number,
): Thread<number | Errno> {
  return withAccess(device, () => exportDmaBuf(device, region, ranges, flags, fds, openFlags));
}

/** VFIO_DEVICE_FEATURE_DMA_BUF_REVOKE; ENOTTY before the unmerged series. */
export function vfioRevokeForGood(device: VfioPciDevice, fd: number, fds: FdTable): Thread<Errno | undefined> {
  return withAccess(device, () => revokeForGood(device, fd, fds));
}

/** VFIO_DEVICE_FEATURE_DMA_BUF_MEMATTR; ENOTTY before the unmerged series. */
export function vfioSetMemAttr(
  device: VfioPciDevice,
  fd: number,
  attr: number,
  fds: FdTable,
): Thread<Errno | undefined> {
  return withAccess(device, () => setMemAttr(device, fd, attr, fds));
}

/** VFIO_DEVICE_GET_REGION_INFO: where to mmap a region in the device file. */
export function vfioRegionOffset(device: VfioPciDevice, region: number): Thread<Bytes | Errno> {
  return withAccess(device, () => regionOffset(region));
}

/** Write the 16 bits of PCI_COMMAND, with the memory bit set or clear. */
export function vfioConfigMemory(device: VfioPciDevice, enable: boolean): Thread<Errno | undefined> {
  const command = PCI_COMMAND_IO | PCI_COMMAND_MASTER | (enable ? PCI_COMMAND_MEMORY : 0);
  return withAccess(device, () => basicConfigWrite(device, PCI_COMMAND, 2, command));
}

/** Write any bytes of the standard header of configuration space. */
export function vfioConfigWrite(
  device: VfioPciDevice,
  offset: number,
  count: number,
  value: number,
): Thread<Errno | undefined> {
  return withAccess(device, () => basicConfigWrite(device, offset, count, value));
}

/** VFIO_DEVICE_RESET */
export function vfioDeviceReset(device: VfioPciDevice): Thread<Errno | undefined> {
  return withAccess(device, () => resetFunction(device), false);
}

/** Initiate a function level reset by the device control register. */
export function vfioConfigFlr(device: VfioPciDevice): Thread<Errno | undefined> {
  return withAccess(device, () => expConfigWrite(device, PCI_EXP_DEVCTL_BCR_FLR));
}

/** Initiate a function level reset by the control register of Advanced Features. */
export function vfioConfigAfFlr(device: VfioPciDevice): Thread<Errno | undefined> {
  return withAccess(device, () => afConfigWrite(device, PCI_AF_CTRL_FLR));
}

/** VFIO_DEVICE_PCI_HOT_RESET */
export function vfioHotReset(device: VfioPciDevice): Thread<Errno | undefined> {
  return withAccess(device, () => hotReset(device));
}

/** Write the state field of the power management control register. */
export function vfioConfigPower(device: VfioPciDevice, state: PowerState): Thread<Errno | undefined> {
  return withAccess(device, () => pmConfigWrite(device, state));
}

/** VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, or with `wakeup` LOW_POWER_ENTRY_WITH_WAKEUP, by an eventfd of the caller's. */
export function vfioLowPowerEntry(
  device: VfioPciDevice,
  wakeup: boolean,
  eventfd: Eventfd = new Eventfd(),
): Thread<Errno | undefined> {
  return withAccess(device, () => lowPowerEntry(device, wakeup ? eventfd : undefined));
}

/** VFIO_DEVICE_FEATURE_LOW_POWER_EXIT */
export function vfioLowPowerExit(device: VfioPciDevice): Thread<Errno | undefined> {
  return withAccess(device, () => lowPowerExit(device));
}
