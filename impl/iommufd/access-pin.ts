/**
 * Pinning a range for an access, and unpinning it.
 *
 * Source: drivers/iommu/iommufd/device.c, iommufd_access_pin_pages(), iommufd_access_unpin_pages()
 */
import { IOMMU_READ, IOMMU_WRITE } from '../iommu/prot.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import { warnOn } from '../kernel/splat.ts';
import type { Thread } from '../kernel/thread.ts';
import { type Bytes, type Iova, isZero, lastOf, PAGE_SIZE, type Pfn } from '../kernel/units.ts';
import type { Access } from './access.ts';
import { areaAddAccess, areaRemoveAccess, type PinHow } from './access-pages.ts';
import { contiguous, isPageAligned, isWhole, type Slice } from './contig.ts';
import type { IoPagetable } from './io-pagetable.ts';
import type { Ioas } from './ioas.ts';

/** Whether the area permits it. Source: check_area_prot() */
export const permits = (prot: number, write: boolean): boolean => (prot & (write ? IOMMU_WRITE : IOMMU_READ)) !== 0;

/**
 * iommufd_access_pin_pages(): the numbers of the pages behind [iova, iova + length), which stay where they are until
 * they are unpinned by the same range.
 * Locks: takes access.ioas_lock, iova_rwsem R, each pages->mutex
 * Fails: EINVAL, EOVERFLOW, ENOENT, EPERM, ENOMEM, EFAULT; nothing more is pinned then
 */
export function* accessPinPages(access: Access, iova: Iova, length: Bytes, write: boolean): Thread<Pfn[] | Errno> {
  warnOn(access.alignment !== PAGE_SIZE, 'an access pins that never said it would');
  if (isZero(length)) return 'EINVAL';
  const last = lastOf(iova, length);
  if (last === undefined) return 'EOVERFLOW';
  yield access.ioasLock;
  try {
    if (access.ioas === undefined) return 'ENOENT';
    const { iopt } = access.ioas;
    const how = { write, locks: access.internal };
    yield iopt.iovaRwsem.read;
    try {
      return yield* pinSlices(iopt, iova, last, how);
    } finally {
      iopt.iovaRwsem.releaseRead();
    }
  } finally {
    access.ioasLock.release();
  }
}

function* pinSlices(iopt: IoPagetable, iova: Iova, last: Iova, how: PinHow): Thread<Pfn[] | Errno> {
  const slices = contiguous(iopt, iova, last);
  const pfns: Pfn[] = [];
  for (const [done, slice] of slices.entries()) {
    const pinned = yield* pinSlice(slice, last, how);
    if (isErrno(pinned)) {
      yield* unpinSlices(slices.slice(0, done), how.locks);
      return pinned;
    }
    for (const pfn of pinned) pfns.push(pfn);
  }
  if (isWhole(slices, last)) return pfns;
  yield* unpinSlices(slices, how.locks);
  return 'ENOENT';
}

function* pinSlice(slice: Slice, rangeLast: Iova, how: PinHow): Thread<Pfn[] | Errno> {
  const { area, first, last } = slice;
  if (area.preventAccess || !isPageAligned(slice, rangeLast)) return 'EINVAL';
  if (!permits(area.prot, how.write)) return 'EPERM';
  return yield* areaAddAccess(slice, area.indexOf(first), area.indexOf(last), how);
}

function* unpinSlices(slices: readonly Slice[], unlocks: boolean): Thread {
  for (const { area, first, last } of slices)
    yield* areaRemoveAccess(area, area.indexOf(first), area.indexOf(last), unlocks);
}

/**
 * iommufd_access_unpin_pages(): the reverse, for a range that was pinned like that. Works while the access is leaving
 * its IOAS.
 * Locks: as pinning
 */
export function* accessUnpinPages(access: Access, iova: Iova, length: Bytes): Thread {
  const last = isZero(length) ? undefined : lastOf(iova, length);
  warnOn(last === undefined, 'no range to be unpinned');
  yield access.ioasLock;
  try {
    warnOn(access.ioasUnpin === undefined, 'an access unpins that is attached to nothing');
    const { iopt } = access.ioasUnpin as Ioas;
    yield iopt.iovaRwsem.read;
    try {
      const slices = contiguous(iopt, iova, last as Iova);
      warnOn(!isWhole(slices, last as Iova), 'a range is unpinned that was not pinned');
      yield* unpinSlices(slices, access.internal);
    } finally {
      iopt.iovaRwsem.releaseRead();
    }
  } finally {
    access.ioasLock.release();
  }
}
