/**
 * Devices in a context: bind and unbind, attach, replace, detach.
 *
 * Source: drivers/iommu/iommufd/device.c
 */

import type { DmaDevice, IommuGroup } from '../iommu/group.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import type { File } from '../kernel/file.ts';
import { free } from '../kernel/poison.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import { attachHwpt, detachHwpt, moveReservations, setDomain } from './attach.ts';
import { IommufdCtx, IommufdObject } from './context.ts';
import { IommufdGroup } from './group.ts';
import { Hwpt, hwptPagingAlloc, putHwpt } from './hw-pagetable.ts';
import { Ioas } from './ioas.ts';

export class IommufdDevice extends IommufdObject {
  readonly kind = 'device';
  readonly dev: DmaDevice;
  readonly igroup: IommufdGroup;

  constructor(ctx: IommufdCtx, dev: DmaDevice, igroup: IommufdGroup) {
    super(ctx);
    this.dev = dev;
    this.igroup = igroup;
  }

  /** iommufd_device_destroy(): give the group's DMA back, and the context's file. */
  *destroy(): Thread {
    const { group } = this.dev;
    yield group.mutex;
    group.ownerCount--;
    if (group.ownerCount === 0) group.owner = undefined;
    group.mutex.release();
    putGroup(this.ctx, this.igroup);
    if (!this.dev.selftest) this.ctx.file.put();
    free(this, 'iommufd_device');
  }
}

/** iommufd_put_group(): it goes with its last device. */
function putGroup(ctx: IommufdCtx, igroup: IommufdGroup): void {
  igroup.devices--;
  if (igroup.devices > 0) return;
  ctx.groups.delete(igroup.group);
  free(igroup, 'iommufd_group', igroup.lock);
}

/** iommufd_ctx_from_file(): undefined when the file is no iommufd. */
export const ctxOf = (file: File): IommufdCtx | undefined => (file.what instanceof IommufdCtx ? file.what : undefined);

/** iommufd_ctx_has_group(): whether a device of the group is bound here. */
export const ctxHasGroup = (ctx: IommufdCtx, group: IommuGroup): boolean => ctx.groups.has(group);

/**
 * iommufd_device_bind(): own the device's DMA. Hardware keeps the context alive.
 * Fails: EPERM when another owns it, ENOMEM
 */
export function* iommufdDeviceBind(ctx: IommufdCtx, dev: DmaDevice): Thread<IommufdDevice | Errno> {
  const { group } = dev;
  if (!ctx.groups.has(group) && shouldFail('iommufd_get_group')) return 'ENOMEM';
  yield group.mutex;
  try {
    if (group.owner !== undefined && group.owner !== ctx) return 'EPERM';
    if (shouldFail('iommufd_device_bind')) return 'ENOMEM';
    group.owner = ctx;
    group.ownerCount++;
  } finally {
    group.mutex.release();
  }
  const igroup = ctx.groups.get(group) ?? new IommufdGroup(group);
  ctx.groups.set(group, igroup);
  igroup.devices++;
  if (!dev.selftest) ctx.file.get();
  const idev = new IommufdDevice(ctx, dev, igroup);
  const failed = ctx.add(idev);
  if (failed === undefined) {
    idev.users++; // The driver's, so that a user cannot destroy it.
    return idev;
  }
  yield* idev.destroy();
  return failed;
}

/** iommufd_device_unbind(): it is attached to nothing any more. Waits for system calls that are using the device. */
export function* iommufdDeviceUnbind(idev: IommufdDevice): Thread {
  idev.ctx.put(idev);
  idev.ctx.remove(idev);
  if (idev.users > 0) yield { name: `users of device ${idev.id}`, ready: () => idev.users === 0, enter: () => {} };
  yield* idev.destroy();
}

/**
 * iommufd_device_attach(): to a HWPT, or to an IOAS through an automatic one. Fails: ENOENT, EINVAL, EBUSY, EADDRINUSE
 */
export function iommufdDeviceAttach(idev: IommufdDevice, ptId: number): Thread<Errno | undefined> {
  return changePt(idev, ptId, attachHwpt);
}

/** iommufd_device_replace(): move the whole group; the old table goes last. Fails: as attach; then nothing has moved */
export function iommufdDeviceReplace(idev: IommufdDevice, ptId: number): Thread<Errno | undefined> {
  return changePt(idev, ptId, replaceWith);
}

/** One way to go to a HWPT: an errno, or the HWPT that the device has left, if any. */
type Change = (hwpt: Hwpt, idev: IommufdDevice) => Thread<Hwpt | Errno | undefined>;

function* changePt(idev: IommufdDevice, ptId: number, change: Change): Thread<Errno | undefined> {
  const pt = idev.ctx.getAny(ptId);
  if (isErrno(pt)) return pt;
  let left: Hwpt | Errno | undefined;
  try {
    if (pt instanceof Hwpt) left = yield* change(pt, idev);
    else if (pt instanceof Ioas) left = yield* autoDomain(pt, idev, change);
    else return 'EINVAL';
  } finally {
    idev.ctx.put(pt);
  }
  if (isErrno(left)) return left;
  if (left !== undefined) yield* putHwpt(left);
  return undefined;
}

/**
 * iommufd_device_auto_get_domain(): the first automatic HWPT of the IOAS that takes the device, else a new one.
 * Locks: takes ioas.mutex
 */
function* autoDomain(ioas: Ioas, idev: IommufdDevice, change: Change): Thread<Hwpt | Errno | undefined> {
  yield ioas.mutex;
  try {
    for (const hwpt of ioas.hwpts) {
      // One that its last device has just left is out of the table, and waits for our mutex to go.
      if (!hwpt.auto || !idev.ctx.has(hwpt)) continue;
      hwpt.users++; // It shall not go while we wait for locks.
      const left = yield* change(hwpt, idev);
      idev.ctx.put(hwpt);
      if (left !== 'EINVAL') return left;
    }
    const immediate = change === attachHwpt;
    const hwpt = yield* hwptPagingAlloc(ioas, idev, { name: ioas.name, auto: true, immediate });
    if (isErrno(hwpt)) return hwpt;
    const left = immediate ? undefined : yield* change(hwpt, idev);
    if (!isErrno(left)) {
      idev.ctx.finalize(hwpt);
      return left;
    }
    ioas.hwpts.splice(ioas.hwpts.indexOf(hwpt), 1);
    hwpt.ctx.remove(hwpt);
    yield* hwpt.abort();
    return left;
  } finally {
    ioas.mutex.release();
  }
}

/** iommufd_device_detach(): an automatic table goes with its last device. */
export function* iommufdDeviceDetach(idev: IommufdDevice): Thread {
  const hwpt = yield* detachHwpt(idev);
  if (hwpt !== undefined) yield* putHwpt(hwpt);
}

/** iommufd_device_do_replace() */
function* replaceWith(hwpt: Hwpt, idev: IommufdDevice): Thread<Hwpt | Errno | undefined> {
  const { igroup } = idev;
  yield igroup.lock;
  try {
    const old = igroup.hwpt;
    if (old === undefined || !igroup.attached.has(idev)) return 'EINVAL';
    if (old === hwpt) return undefined;
    const moved = yield* moveReservations(igroup, old.ioas, hwpt);
    if (moved !== undefined) return moved;
    yield* setDomain(igroup.group, hwpt.domain);
    igroup.hwpt = hwpt;
    // The caller puts the last use of the old table, which may destroy it.
    hwpt.users += igroup.attached.size;
    old.users -= igroup.attached.size - 1;
    return old;
  } finally {
    igroup.lock.release();
  }
}
