/** The glue between a VFIO device and iommufd: the only file here that knows iommufd's functions. */
import {
  ctxHasGroup,
  type IommufdDevice,
  iommufdDeviceAttach,
  iommufdDeviceBind,
  iommufdDeviceDetach,
  iommufdDeviceReplace,
  iommufdDeviceUnbind,
} from '../iommufd/device.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import { assertHeld } from '../kernel/mutex.ts';
import { Splat } from '../kernel/splat.ts';
import type { Thread } from '../kernel/thread.ts';
import type { VfioPciDevice } from './pci-device.ts';

/** An iommufd context; what is in it is iommufd's own affair. */
export type IommufdCtx = IommufdDevice['ctx'];

/**
 * `vfio_iommufd_physical_bind()`
 * Locks: caller holds dev_set->lock
 * Fails: EPERM when somebody else owns the group's DMA; ENOMEM
 */
export function* physicalBind(device: VfioPciDevice, ctx: IommufdCtx): Thread<Errno | undefined> {
  assertHeld(device.devSet.lock);
  const iommufdDevice = yield* iommufdDeviceBind(ctx, device);
  if (isErrno(iommufdDevice)) return iommufdDevice;
  device.iommufdDevice = iommufdDevice;
  return undefined;
}

/** `vfio_iommufd_physical_unbind()`: detaches first, if need be. Locks: caller holds dev_set->lock */
export function* physicalUnbind(device: VfioPciDevice): Thread {
  yield* physicalDetachIoas(device);
  yield* iommufdDeviceUnbind(boundDevice(device));
  device.iommufdDevice = undefined;
}

/**
 * `vfio_iommufd_physical_attach_ioas()`: attaches the device, or moves it from where it is attached.
 * Locks: caller holds dev_set->lock
 * Fails: as iommufd does
 */
export function* physicalAttachIoas(device: VfioPciDevice, ptId: number): Thread<Errno | undefined> {
  assertHeld(device.devSet.lock);
  const change = device.iommufdAttached ? iommufdDeviceReplace : iommufdDeviceAttach;
  const failed = yield* change(boundDevice(device), ptId);
  if (failed === undefined) device.iommufdAttached = true;
  return failed;
}

/** `vfio_iommufd_physical_detach_ioas()`: nothing to do when not attached. Locks: caller holds dev_set->lock */
export function* physicalDetachIoas(device: VfioPciDevice): Thread {
  assertHeld(device.devSet.lock);
  if (!device.iommufdAttached) return;
  yield* iommufdDeviceDetach(boundDevice(device));
  device.iommufdAttached = false;
}

/**
 * `vfio_iommufd_get_dev_id()`, as hot reset asks: the device is bound to this context, or to none while the context
 * owns its group.
 * Locks: caller holds dev_set->lock
 */
export function ownedBy(device: VfioPciDevice, ctx: IommufdCtx): boolean {
  assertHeld(device.devSet.lock);
  return device.iommufdDevice?.ctx === ctx || ctxHasGroup(ctx, device.group);
}

function boundDevice({ iommufdDevice, name }: VfioPciDevice): IommufdDevice {
  if (iommufdDevice === undefined) throw new Splat('WARN', `${name} is not bound to an iommufd`);
  return iommufdDevice;
}
