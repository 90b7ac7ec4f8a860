/**
 * A range of IOVA as accesses walk it: area after area, as long as the next begins where the one before ends.
 *
 * Source: drivers/iommu/iommufd/io_pagetable.c, iopt_for_each_contig_area()
 */
import { assertHeldAny } from '../kernel/rwsem.ts';
import { equal, type Iova, less, min, next, PAGE_SIZE } from '../kernel/units.ts';
import type { Area } from './area.ts';
import type { IoPagetable } from './io-pagetable.ts';
import type { Pages } from './pages.ts';

/** What the range shows of one area. */
export interface Slice {
  readonly area: Area;
  readonly pages: Pages;
  readonly first: Iova;
  readonly last: Iova;
}

/** The slices of [first, last] up to the first hole, or area in set-up or teardown. Locks: iova_rwsem */
export function contiguous(iopt: IoPagetable, first: Iova, last: Iova): Slice[] {
  assertHeldAny(iopt.iovaRwsem);
  const slices: Slice[] = [];
  let at: Iova | undefined = first;
  for (const area of iopt.areas.overlapping(first, last)) {
    const { pages } = area;
    if (pages === undefined || at === undefined || less(at, area.iova)) break;
    slices.push({ area, pages, first: at, last: min(last, area.last) });
    at = next(area.last);
  }
  return slices;
}

/** iopt_area_contig_done(): the slices reach to the end of the range. */
export function isWhole(slices: readonly Slice[], last: Iova): boolean {
  const end = slices.at(-1);
  return end !== undefined && equal(end.last, last);
}

/** iopt_area_contig_is_aligned(): pages can be told apart: only the range's own end may lie inside one. */
export function isPageAligned({ area, first, last }: Slice, rangeLast: Iova): boolean {
  if (area.startByte(first).byte !== 0) return false;
  return equal(last, rangeLast) || area.startByte(last).byte === PAGE_SIZE - 1;
}
