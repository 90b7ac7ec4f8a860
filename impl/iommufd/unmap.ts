/**
 * Taking areas away.
 *
 * Source: drivers/iommu/iommufd/io_pagetable.c, iopt_unmap_iova_range()
 */
import type { Errno } from '../kernel/errno.ts';
import { isErrno } from '../kernel/errno.ts';
import { assertHeldWrite } from '../kernel/rwsem.ts';
import { current, type Thread } from '../kernel/thread.ts';
import { add, atMost, type Bytes, type Iova, less, next, ZERO } from '../kernel/units.ts';
import type { Area } from './area.ts';
import { unfillDomains } from './fill.ts';
import type { IoPagetable } from './io-pagetable.ts';
import type { Pages } from './pages.ts';
import { putPages } from './release.ts';

/**
 * iopt_unmap_iova_range(): remove every area in [start, last], lowest first. Each is gone for good before the next is
 * looked at, so a refusal half-way keeps what was removed. The search only moves up, and so never meets an area that
 * somebody places into what was freed.
 * Units: bytes removed, gaps not counted
 * Locks: takes domains_rwsem R; inside, by turns, iova_rwsem W, pages->mutex, dma_resv
 * Fails: EBUSY for an area in set-up or teardown, ENOENT for one that sticks out
 */
export function* unmapRange(iopt: IoPagetable, start: Iova, last: Iova): Thread<{ bytes: Bytes; failed?: Errno }> {
  let bytes: Bytes = ZERO;
  let from: Iova | undefined = start;
  yield iopt.domainsRwsem.read;
  try {
    while (from !== undefined && atMost(from, last)) {
      yield iopt.iovaRwsem.write;
      let taken: Taken | Errno | undefined;
      try {
        taken = takeLowest(iopt, from, last);
      } finally {
        iopt.iovaRwsem.releaseWrite();
      }
      if (isErrno(taken)) return { bytes, failed: taken };
      if (taken === undefined) break;
      yield* removeArea(iopt, taken);
      bytes = add(bytes, taken.area.length);
      from = behind(taken.area, start);
    }
    return { bytes };
  } finally {
    iopt.domainsRwsem.releaseRead();
  }
}

/** Where to look for the next area. An older kernel looks at all of the range again. */
function behind(removed: Area, start: Iova): Iova | undefined {
  return current().kernel.features.unmapMovesUp ? next(removed.last) : start;
}

interface Taken {
  readonly area: Area;
  readonly pages: Pages;
}

/** The lowest area of [start, last], put into teardown. Locks: iova_rwsem W */
function takeLowest(iopt: IoPagetable, start: Iova, last: Iova): Taken | Errno | undefined {
  assertHeldWrite(iopt.iovaRwsem);
  const area = iopt.areas.first(start, last);
  if (area === undefined) return undefined;
  const { pages } = area;
  if (pages === undefined) return 'EBUSY';
  if (less(area.iova, start) || less(last, area.last)) return 'ENOENT';
  area.pages = undefined;
  return { area, pages };
}

function* removeArea(iopt: IoPagetable, { area, pages }: Taken): Thread {
  yield* unfillDomains(area, pages);
  yield iopt.iovaRwsem.write;
  iopt.areas.remove(area.node);
  iopt.iovaRwsem.releaseWrite();
  yield* putPages(pages);
}
