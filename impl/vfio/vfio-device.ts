/**
 * The VFIO character device: open, bind to an iommufd, attach, and the release of the last reference. The user's
 * descriptor is the newest one, `device.file`; a CPU mapping of a BAR may keep an older file, and with it the device,
 * open.
 */

import { ctxOf } from '../iommufd/device.ts';
import type { AddressSpace } from '../kernel/address-space.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import { File } from '../kernel/file.ts';
import { free } from '../kernel/poison.ts';
import { preempt, shouldFail, type Thread } from '../kernel/thread.ts';
import type { Mappable, Vma } from '../kernel/vma.ts';
import { withAccess } from './access.ts';
import { vfioPciCoreMmap } from './bar-mapping.ts';
import { physicalAttachIoas, physicalBind, physicalDetachIoas, physicalUnbind } from './iommufd.ts';
import type { VfioPciDevice } from './pci-device.ts';
import { coreCloseDevice, coreEnable } from './pci-enable.ts';
import { putRegistration, tryGetRegistration } from './registration.ts';

/** `vfio_device_file`: what an open file of a device is. */
export class VfioDeviceFile implements Mappable {
  readonly device: VfioPciDevice;
  readonly file: File;
  /** The file is bound to an iommufd; until then, nearly everything is EINVAL. Never false again. */
  accessGranted = false;
  /** The iommufd, of which a bound file holds a reference. Protected by dev_set->lock. */
  iommufd: File | undefined;
  /** The container of the device's group, if the file was opened through that; it holds a reference, too. */
  container: File | undefined;
  /** A character device has no size of its own. */
  readonly endPage = 2 ** 52;

  constructor(device: VfioPciDevice) {
    this.device = device;
    this.file = new File(device.name, this, () => vfioDeviceFopsRelease(this));
  }

  /** One for all files of the device, because a zap must find the mappings of every one. */
  get mapping(): AddressSpace {
    return this.device.mapping;
  }

  /** `vfio_device_fops_mmap()`: EINVAL before the file is bound. */
  *mmap(vma: Vma): Thread<Errno | undefined> {
    const { device } = this;
    return this.accessGranted ? yield* (device.ownMmap ?? vfioPciCoreMmap)(device, vma) : 'EINVAL';
  }
}

/**
 * `vfio_device_fops_cdev_open()`: an open file, which gives no access before it is bound.
 * Fails: ENODEV when the driver is going away; ENOMEM
 */
export function* vfioDeviceOpen(device: VfioPciDevice): Thread<File | Errno> {
  yield preempt; // The registration is taken without a lock.
  if (!tryGetRegistration(device)) return 'ENODEV';
  if (shouldFail('vfio_allocate_device_file')) {
    putRegistration(device);
    return 'ENOMEM';
  }
  device.file = new VfioDeviceFile(device);
  return device.file.file;
}

/** Tells the caller a number, if it wants to know, before the call is done; an errno undoes the call. */
export type Tell = (id: number) => Errno | undefined;

/**
 * `vfio_df_ioctl_bind_iommufd()`: the device's DMA belongs to this iommufd from now on, and the device is opened. Tells
 * the number that the iommufd has given the device.
 * Locks: takes dev_set->lock, and looks the descriptor of the iommufd up inside: others may close it before that
 * Fails: EINVAL when bound, or while another file has the device open; EBADF, EBADFD for what is no iommufd; EPERM when
 *        somebody else owns the group; ENOMEM, EAGAIN, EIO
 */
export function* vfioDeviceBind(
  device: VfioPciDevice,
  iommufd: () => File | undefined,
  tell?: Tell,
): Thread<Errno | undefined> {
  const df = device.file;
  if (df === undefined || !df.file.getActive()) return 'EBADF';
  yield device.devSet.lock;
  try {
    return yield* bindIommufd(df, iommufd, tell);
  } finally {
    device.devSet.lock.release();
    df.file.put();
  }
}

function* bindIommufd(df: VfioDeviceFile, lookup: () => File | undefined, tell?: Tell): Thread<Errno | undefined> {
  if (df.accessGranted) return 'EINVAL';
  const iommufd = lookup();
  if (iommufd === undefined || !iommufd.getActive()) return 'EBADF';
  let failed = yield* vfioDfOpen(df.device, iommufd);
  if (failed === undefined) {
    failed = tell?.(df.device.iommufdDevice?.id ?? 0);
    if (failed !== undefined) yield* closeLocked(df.device);
  }
  if (failed !== undefined) {
    iommufd.put();
    return failed;
  }
  df.iommufd = iommufd;
  df.accessGranted = true;
  return undefined;
}

/** `vfio_df_open()`. Locks: caller holds dev_set->lock */
function* vfioDfOpen(device: VfioPciDevice, iommufd: File): Thread<Errno | undefined> {
  const ctx = ctxOf(iommufd);
  if (ctx === undefined) return 'EBADFD';
  if (device.openCount !== 0) return 'EINVAL';
  const refused = yield* physicalBind(device, ctx);
  if (refused !== undefined) return refused;
  const failed = yield* coreEnable(device);
  if (failed === undefined) device.openCount++;
  else yield* physicalUnbind(device);
  return failed;
}

/**
 * `vfio_df_ioctl_attach_pt()`: what the device's DMA goes through from now on, an IOAS or a HWPT.
 * Locks: takes dev_set->lock
 * Fails: EINVAL when not bound; as iommufd does
 */
export function vfioDeviceAttach(device: VfioPciDevice, ptId: number, tell?: Tell): Thread<Errno | undefined> {
  return withAccess(device, () => attachPt(device, ptId, tell));
}

/** The same within a call that has access already. Tells the number of the HWPT; untold, the device is detached. */
export function* attachPt(device: VfioPciDevice, ptId: number, tell?: Tell): Thread<Errno | undefined> {
  yield device.devSet.lock;
  try {
    const failed = yield* physicalAttachIoas(device, ptId);
    if (failed !== undefined) return failed;
    const untold = tell?.(device.iommufdDevice?.igroup.hwpt?.id ?? 0);
    if (untold !== undefined) yield* physicalDetachIoas(device);
    return untold;
  } finally {
    device.devSet.lock.release();
  }
}

/**
 * `vfio_df_ioctl_detach_pt()`: nothing to do when not attached.
 * Locks: takes dev_set->lock
 * Fails: EINVAL when not bound
 */
export function vfioDeviceDetach(device: VfioPciDevice): Thread<Errno | undefined> {
  return withAccess(device, () => detachPt(device));
}

/** The same within a call that has access already. */
export function* detachPt(device: VfioPciDevice): Thread<undefined> {
  yield device.devSet.lock;
  try {
    yield* physicalDetachIoas(device);
  } finally {
    device.devSet.lock.release();
  }
  return undefined;
}

/**
 * `vfio_device_fops_release()`: the last reference to a file of the device is gone; mappings of its BARs count, too.
 */
function* vfioDeviceFopsRelease(df: VfioDeviceFile): Thread {
  const { device, iommufd } = df;
  if (iommufd !== undefined) {
    yield* vfioDfClose(device);
    iommufd.put();
  }
  if (df.container !== undefined) yield* groupClose(df, df.container);
  if (device.file === df) device.file = undefined;
  putRegistration(device);
  free(df, 'vfio_device_file');
}

/** `vfio_df_close()`: the driver closes the device while it is still attached, and iommufd comes last. */
function* vfioDfClose(device: VfioPciDevice): Thread {
  yield device.devSet.lock;
  try {
    yield* closeLocked(device);
  } finally {
    device.devSet.lock.release();
  }
}

/**
 * VFIO_GROUP_GET_DEVICE_FD: a file of the device whose group is in a container, open at once. Nobody binds it to
 * anything; its DMA goes where its group's goes. A second file of an open device, which a group may have, is not here.
 * Locks: takes dev_set->lock
 * Fails: ENODEV, ENOMEM as an open; EINVAL while no container owns the group; EBUSY while the device is open; EAGAIN,
 *        EIO
 */
export function* vfioGroupGetDevice(device: VfioPciDevice, container: File): Thread<File | Errno> {
  if (device.group.owner !== container.what) return 'EINVAL';
  const before = device.file;
  const file = yield* vfioDeviceOpen(device);
  if (isErrno(file)) return file;
  const df = file.what as VfioDeviceFile;
  yield device.devSet.lock;
  let failed: Errno | undefined = 'EBUSY';
  try {
    if (device.openCount === 0) failed = yield* coreEnable(device);
    if (failed === undefined) device.openCount++;
  } finally {
    device.devSet.lock.release();
  }
  if (failed === undefined) {
    container.get();
    df.container = container;
    df.accessGranted = true;
    return file;
  }
  device.file = before;
  file.put();
  return failed;
}

/** `vfio_df_group_close()`: the container learns nothing of it. */
function* groupClose({ device }: VfioDeviceFile, container: File): Thread {
  yield device.devSet.lock;
  try {
    device.openCount--;
    yield* coreCloseDevice(device);
  } finally {
    device.devSet.lock.release();
  }
  container.put();
}

function* closeLocked(device: VfioPciDevice): Thread {
  device.openCount--;
  yield* coreCloseDevice(device);
  yield* physicalUnbind(device);
}
