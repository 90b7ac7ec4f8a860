/**
 * Dirty tracking: which pages a domain's devices have written, as bits that the page table keeps for each leaf, and
 * that a user turns on, reads and clears by range.
 *
 * Source: drivers/iommu/iommufd/hw_pagetable.c, io_pagetable.c, iopt_set_dirty_tracking(),
 * iopt_read_and_clear_dirty_data()
 */
import type { Domain } from '../iommu/domain.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import { assertHeldAny } from '../kernel/rwsem.ts';
import { current, shouldFail, type Thread } from '../kernel/thread.ts';
import {
  addWrapping,
  type Bytes,
  type Iova,
  isAligned,
  isZero,
  lastOf,
  less,
  min,
  next,
  ONE,
  sub,
  toBigint,
  toNumber,
  type U64,
  U64_MAX,
} from '../kernel/units.ts';
import type { IommufdCtx } from './context.ts';
import { Hwpt } from './hw-pagetable.ts';
import type { IoPagetable } from './io-pagetable.ts';

export const DIRTY_TRACKING_ENABLE = 1;
export const DIRTY_BITMAP_NO_CLEAR = 1;

/** IOMMU_HWPT_SET_DIRTY_TRACKING. Fails: EOPNOTSUPP for flags, ENOENT, EOPNOTSUPP for a domain that cannot */
export function* setDirtyTracking(ctx: IommufdCtx, hwptId: number, flags: number): Thread<Errno | undefined> {
  if ((flags & ~DIRTY_TRACKING_ENABLE) !== 0) return 'EOPNOTSUPP';
  const hwpt = getHwpt(ctx, hwptId);
  if (isErrno(hwpt)) return hwpt;
  const { domain, ioas } = hwpt;
  try {
    if (!domain.hasDirtyOps) return 'EOPNOTSUPP';
    yield ioas.iopt.iovaRwsem.read;
    try {
      if (flags === DIRTY_TRACKING_ENABLE) forgetDirty(ioas.iopt, domain);
      domain.tracking = flags === DIRTY_TRACKING_ENABLE;
    } finally {
      ioas.iopt.iovaRwsem.releaseRead();
    }
    return undefined;
  } finally {
    ctx.put(hwpt);
  }
}

/** A table of pages. Counts a user; `ctx.put` it. */
function getHwpt(ctx: IommufdCtx, id: number): Hwpt | 'ENOENT' {
  const object = ctx.getAny(id);
  if (object instanceof Hwpt) return object;
  if (!isErrno(object)) ctx.put(object);
  return 'ENOENT';
}

/** What was written while nobody asked does not count. Locks: iova_rwsem */
function forgetDirty(iopt: IoPagetable, domain: Domain): void {
  assertHeldAny(iopt.iovaRwsem);
  for (const area of iopt.areas.all()) {
    if (area.pages !== undefined) domain.readDirty(area.iova, area.last, true, () => {});
  }
}

/** A range, and how many bytes one bit of its bitmap stands for. */
export interface DirtyRange {
  readonly iova: Iova;
  readonly length: Bytes;
  readonly pageSize: Bytes;
}

/**
 * IOMMU_HWPT_GET_DIRTY_BITMAP: set the bit of every page of the range that was written, and forget it, unless NO_CLEAR.
 * Bits that are set already stay. What has no area ends the reading, and is no error.
 * Locks: takes iova_rwsem R
 * Fails: EOPNOTSUPP, ENOENT, EOVERFLOW, EINVAL, EOPNOTSUPP for a domain that cannot, ENOMEM, in that order
 */
export function* getDirtyBitmap(
  ctx: IommufdCtx,
  hwptId: number,
  args: DirtyRange & { readonly flags: number; readonly reserved: number },
  bitmap: Uint8Array,
): Thread<Errno | undefined> {
  if ((args.flags & ~DIRTY_BITMAP_NO_CLEAR) !== 0 || args.reserved !== 0) return 'EOPNOTSUPP';
  const hwpt = getHwpt(ctx, hwptId);
  if (isErrno(hwpt)) return hwpt;
  const { domain, ioas } = hwpt;
  try {
    yield ioas.iopt.iovaRwsem.read;
    try {
      const last = lastOfRange(args, ioas.iopt.alignment, current().kernel.features.dirtyLengthChecked);
      if (isErrno(last)) return last;
      if (!domain.hasDirtyOps) return 'EOPNOTSUPP';
      if (shouldFail('iova_bitmap_alloc')) return 'ENOMEM';
      const clear = (args.flags & DIRTY_BITMAP_NO_CLEAR) === 0;
      for (const [from, to] of stretchesOf(ioas.iopt, args.iova, last)) {
        domain.readDirty(from, to, clear, (iova, length) => record(bitmap, args, iova, length));
      }
    } finally {
      ioas.iopt.iovaRwsem.releaseRead();
    }
    return undefined;
  } finally {
    ctx.put(hwpt);
  }
}

/**
 * iommufd_check_iova_range(). A length of 0 that nobody refuses ends one byte before its beginning, which wraps for
 * all but IOVA 0, and there is everything.
 */
function lastOfRange({ iova, length, pageSize }: DirtyRange, alignment: number, lengthChecked: boolean): Iova | Errno {
  if (lengthChecked && isZero(length)) return 'EINVAL';
  const last = isZero(length) ? (isZero(iova) ? U64_MAX : undefined) : lastOf(iova, length);
  if (last === undefined) return 'EOVERFLOW';
  const end = addWrapping(last, ONE);
  if (!isAligned(iova, alignment) || !isAligned(end, alignment)) return 'EINVAL';
  if (isZero(pageSize) || !isMultiple(iova, pageSize) || !isMultiple(end, pageSize)) return 'EINVAL';
  return last;
}

const isMultiple = (a: U64, of: U64): boolean => toBigint(a) % toBigint(of) === 0n;

/** iopt_for_each_contig_area(): the areas from `iova` on, each clipped to the range, up to the first gap. */
function stretchesOf(iopt: IoPagetable, iova: Iova, last: Iova): (readonly [Iova, Iova])[] {
  const stretches: (readonly [Iova, Iova])[] = [];
  let from: Iova | undefined = iova;
  for (const area of iopt.areas.overlapping(iova, last)) {
    if (area.pages === undefined || from === undefined || less(from, area.iova)) break;
    stretches.push([from, min(area.last, last)]);
    from = next(area.last);
  }
  return stretches;
}

/** iova_bitmap_set(): the bits of [iova, iova + length); those beyond the bitmap's end are lost. */
function record(bitmap: Uint8Array, { iova: base, pageSize }: DirtyRange, iova: Iova, length: number): void {
  // Multiples of the domain's pages, and below 2^57: a double holds them exactly.
  const from = toNumber(sub(iova, base));
  const size = toNumber(pageSize);
  const end = Math.min(Math.ceil((from + length) / size), bitmap.length * 8);
  for (let bit = Math.floor(from / size); bit < end; bit++) {
    bitmap[bit >> 3] = (bitmap[bit >> 3] as number) | (1 << (bit & 7));
  }
}
