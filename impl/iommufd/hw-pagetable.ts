/**
 * A paging HWPT: a domain as an object of the context, on one IOAS. Either a user allocated it, or an attach made it
 * and its last device takes it along.
 *
 * Source: drivers/iommu/iommufd/hw_pagetable.c
 */

import { Domain } from '../iommu/domain.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import { assertHeld } from '../kernel/mutex.ts';
import { free } from '../kernel/poison.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import { attachHwpt, unattachHwpt } from './attach.ts';
import { type IommufdCtx, IommufdObject } from './context.ts';
import type { IommufdDevice } from './device.ts';
import { Ioas } from './ioas.ts';
import { addDomain, removeDomain } from './table-domain.ts';

/** Flags of IOMMU_HWPT_ALLOC: DIRTY_TRACKING asks for a domain whose devices can set dirty bits. */
export const NEST_PARENT = 1;
export const DIRTY_TRACKING = 2;

export class Hwpt extends IommufdObject {
  readonly kind = 'hwpt';
  readonly ioas: Ioas;
  readonly domain: Domain;
  /** Made by an attach, and gone with its last device. */
  readonly auto: boolean;
  #inTable = false;

  constructor(ioas: Ioas, name: string, auto: boolean, dirty = false) {
    super(ioas.ctx);
    this.ioas = ioas;
    this.auto = auto;
    this.domain = new Domain(ioas.ctx.iommu, name);
    this.domain.hasDirtyOps = dirty;
    ioas.users++;
  }

  /** Fill the domain with the areas of the IOAS. Locks: ioas.mutex. Fails: as addDomain() */
  *join(): Thread<Errno | undefined> {
    assertHeld(this.ioas.mutex);
    const failed = yield* addDomain(this.ioas.iopt, this.domain);
    if (failed !== undefined) return failed;
    this.#inTable = true;
    this.ioas.hwpts.push(this);
    return undefined;
  }

  /** iommufd_hwpt_paging_destroy(). Locks: takes ioas.mutex, then those of removeDomain() */
  *destroy(): Thread {
    // Always so when a user destroys it: a table that could not join has never been known to one.
    if (this.#inTable) {
      yield this.ioas.mutex;
      this.ioas.hwpts.splice(this.ioas.hwpts.indexOf(this), 1);
      this.ioas.mutex.release();
    }
    yield* this.abort();
  }

  /** iommufd_hwpt_paging_abort(): the same for who holds ioas.mutex, or never joined. */
  *abort(): Thread {
    if (this.#inTable) yield* removeDomain(this.ioas.iopt, this.domain);
    this.domain.destroy();
    this.ctx.put(this.ioas);
    free(this, 'iommufd_hwpt_paging');
  }
}

/**
 * iommufd_hwpt_paging_alloc(): a new domain on the IOAS, filled. `immediate` attaches the device to it before it is
 * filled, so that the reservations of the device are known first. Its number finds it when the caller finalizes it.
 * Locks: caller holds ioas.mutex
 * Fails: ENOMEM, what attaching or filling fails with
 */
export function* hwptPagingAlloc(
  ioas: Ioas,
  idev: IommufdDevice,
  options: { readonly name: string; readonly auto: boolean; readonly immediate: boolean; readonly dirty?: boolean },
): Thread<Hwpt | Errno> {
  assertHeld(ioas.mutex);
  if (shouldFail('iommu_paging_domain_alloc')) return 'ENOMEM';
  const hwpt = new Hwpt(ioas, options.name, options.auto, options.dirty);
  const failed = yield* settle(hwpt, idev, options.immediate);
  if (failed === undefined) return hwpt;
  yield* hwpt.abort();
  return failed;
}

function* settle(hwpt: Hwpt, idev: IommufdDevice, immediate: boolean): Thread<Errno | undefined> {
  const full = hwpt.ctx.reserve(hwpt);
  if (full !== undefined) return full;
  let failed = immediate ? yield* attachHwpt(hwpt, idev) : undefined;
  if (failed === undefined) {
    failed = yield* hwpt.join();
    if (failed !== undefined && immediate) yield* unattachHwpt(idev);
  }
  if (failed !== undefined) hwpt.ctx.remove(hwpt);
  return failed;
}

/**
 * IOMMU_HWPT_ALLOC on an IOAS. Nesting is not used here, only allowed; and only some hardware tracks writes.
 * Fails: ENOENT for what is no device, EINVAL for a missing parent, EOPNOTSUPP, what filling fails with
 */
export function* hwptAlloc(
  ctx: IommufdCtx,
  deviceId: number,
  parentId: number,
  flags: number,
  name: string,
): Thread<Hwpt | Errno> {
  const idev = ctx.getAny(deviceId);
  if (isErrno(idev)) return idev;
  if (idev.kind !== 'device') {
    ctx.put(idev);
    return 'ENOENT';
  }
  const device = idev as IommufdDevice;
  const parent = ctx.getAny(parentId);
  if (isErrno(parent)) {
    ctx.put(idev);
    return 'EINVAL';
  }
  try {
    if (parent.kind === 'hwpt') return 'EOPNOTSUPP'; // A nested table, without the data that would describe it.
    if (!(parent instanceof Ioas)) return 'EINVAL';
    const dirty = (flags & DIRTY_TRACKING) !== 0;
    const known = (device.dev.hwptFlags ?? 0) | (device.dev.dirtyTracking === true ? DIRTY_TRACKING : 0);
    if ((flags & ~known) !== 0) return 'EOPNOTSUPP';
    yield parent.mutex;
    let hwpt: Hwpt | Errno;
    try {
      hwpt = yield* hwptPagingAlloc(parent, device, { name, auto: false, immediate: false, dirty });
    } finally {
      parent.mutex.release();
    }
    if (!isErrno(hwpt)) ctx.finalize(hwpt);
    return hwpt;
  } finally {
    ctx.put(parent);
    ctx.put(idev);
  }
}

/** iommufd_hw_pagetable_put(): a device has left; an automatic table that nobody uses any more goes. */
export function* putHwpt(hwpt: Hwpt): Thread {
  hwpt.ctx.put(hwpt);
  if (!hwpt.auto || hwpt.users !== 1) return;
  hwpt.ctx.remove(hwpt);
  yield* hwpt.destroy();
}
