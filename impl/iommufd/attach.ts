/**
 * What ties a device to a HWPT: its reservations in the IOAS, and the hardware of its group.
 *
 * Source: drivers/iommu/iommufd/device.c, iommufd_hw_pagetable_attach(), iommufd_group_do_replace_reserved_iova()
 */
import type { Domain } from '../iommu/domain.ts';
import type { IommuGroup } from '../iommu/group.ts';
import type { Errno } from '../kernel/errno.ts';
import { assertHeld } from '../kernel/mutex.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import type { IommufdDevice } from './device.ts';
import type { IommufdGroup } from './group.ts';
import type { Hwpt } from './hw-pagetable.ts';
import type { IoPagetable } from './io-pagetable.ts';
import type { Ioas } from './ioas.ts';

/**
 * iommufd_hw_pagetable_attach(): reserve what the device reserves, and, for the first device of the group, point the
 * hardware at the domain.
 * Locks: takes igroup.lock, iova_rwsem W and the group's mutex
 * Fails: EINVAL when the group is attached elsewhere, or cannot have this domain, EADDRINUSE, ENOMEM
 */
export function* attachHwpt(hwpt: Hwpt, idev: IommufdDevice): Thread<Errno | undefined> {
  const { igroup } = idev;
  yield igroup.lock;
  try {
    if (igroup.hwpt !== undefined && igroup.hwpt !== hwpt) return 'EINVAL';
    if (igroup.attached.has(idev)) return 'EBUSY';
    if (shouldFail('iommufd_hw_pagetable_attach')) return 'ENOMEM';
    const { iopt } = hwpt.ioas;
    const reserved = yield* reserveRegions(iopt, idev);
    if (reserved !== undefined) return reserved;
    if (igroup.hwpt === undefined) {
      const refused = driverRefuses(hwpt.domain, [idev], 'iommu_attach_group');
      if (refused !== undefined) {
        yield* unreserveRegions(iopt, idev);
        return refused;
      }
      yield* setDomain(igroup.group, hwpt.domain);
      igroup.hwpt = hwpt;
    }
    igroup.attached.add(idev);
    hwpt.users++;
    idev.users++;
    return undefined;
  } finally {
    igroup.lock.release();
  }
}

/** iommufd_hw_pagetable_detach(): the reverse; gives the HWPT that the device was attached to. */
export function* detachHwpt(idev: IommufdDevice): Thread<Hwpt | undefined> {
  const { igroup } = idev;
  yield igroup.lock;
  try {
    const { hwpt } = igroup;
    if (hwpt === undefined || !igroup.attached.delete(idev)) return undefined;
    if (igroup.attached.size === 0) {
      yield* setDomain(igroup.group, undefined);
      igroup.hwpt = undefined;
    }
    yield* unreserveRegions(hwpt.ioas.iopt, idev);
    idev.users--;
    return hwpt;
  } finally {
    igroup.lock.release();
  }
}

/** Undo attachHwpt() to a table that has never been filled; its caller destroys the table. */
export function* unattachHwpt(idev: IommufdDevice): Thread {
  const hwpt = yield* detachHwpt(idev);
  // Never undefined here: this follows an attach that succeeded, under the same ioas.mutex.
  if (hwpt !== undefined) hwpt.ctx.put(hwpt);
}

/**
 * What the group's devices reserve, in the new IOAS instead of the old, if the hardware takes the new domain. Its
 * caller points the hardware there.
 * Locks: igroup.lock; takes iova_rwsem W
 * Fails: EADDRINUSE, ENOMEM, EINVAL from the driver; then nothing has changed
 */
export function* moveReservations(igroup: IommufdGroup, from: Ioas, to: Hwpt): Thread<Errno | undefined> {
  assertHeld(igroup.lock);
  const { iopt } = to.ioas;
  const moving = from === to.ioas ? [] : [...igroup.attached];
  const done: IommufdDevice[] = [];
  let failed: Errno | undefined;
  for (const device of moving) {
    failed = yield* reserveRegions(iopt, device);
    if (failed !== undefined) break;
    done.push(device);
  }
  failed ??= driverRefuses(to.domain, igroup.attached, 'iommu_group_replace_domain');
  for (const device of done) yield* unreserveRegions(failed === undefined ? from.iopt : iopt, device);
  return failed;
}

/** What the driver says to a domain for these devices. Fails: EINVAL when it is to see writes that one of them hides */
function driverRefuses(domain: Domain, devices: Iterable<IommufdDevice>, site: string): Errno | undefined {
  if (domain.hasDirtyOps) for (const { dev } of devices) if (dev.dirtyTracking !== true) return 'EINVAL';
  return shouldFail(site) ? 'ENOMEM' : undefined;
}

/** iopt_table_enforce_dev_resv_regions(): all of the device's, or none. Locks: takes iova_rwsem W */
function* reserveRegions(iopt: IoPagetable, idev: IommufdDevice): Thread<Errno | undefined> {
  yield iopt.iovaRwsem.write;
  try {
    for (const { start, last } of idev.dev.reserved) {
      const failed = iopt.reserve(start, last, idev);
      if (failed !== undefined) {
        iopt.unreserve(idev);
        return failed;
      }
    }
    return undefined;
  } finally {
    iopt.iovaRwsem.releaseWrite();
  }
}

function* unreserveRegions(iopt: IoPagetable, idev: IommufdDevice): Thread {
  yield iopt.iovaRwsem.write;
  iopt.unreserve(idev);
  iopt.iovaRwsem.releaseWrite();
}

/** Point the hardware of the whole group at a domain, or at nothing. Locks: takes the group's mutex */
export function* setDomain(group: IommuGroup, domain: Domain | undefined): Thread {
  yield group.mutex;
  group.domain = domain;
  group.mutex.release();
}
