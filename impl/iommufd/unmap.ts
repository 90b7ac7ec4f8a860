/**
 * Taking areas away.
 *
 * Source: drivers/iommu/iommufd/io_pagetable.c, iopt_unmap_iova_range()
 */

import type { Errno } from '../kernel/errno.ts';
import { isErrno } from '../kernel/errno.ts';
import { free } from '../kernel/poison.ts';
import { assertHeldWrite } from '../kernel/rwsem.ts';
import { current, type Thread } from '../kernel/thread.ts';
import { add, atMost, type Bytes, equal, type Iova, less, next, ZERO } from '../kernel/units.ts';
import { notifyUnmap } from './access-table.ts';
import type { Area } from './area.ts';
import { unfillDomains } from './fill.ts';
import type { IoPagetable } from './io-pagetable.ts';
import type { Pages } from './pages.ts';
import { putPages } from './release.ts';

/** An area whose accesses do not let go when asked so often is given up. */
const MOST_TRIES = 100;

/**
 * iopt_unmap_iova_range(): remove every area in [start, last], lowest first. Each is gone for good before the next is
 * looked at, so a refusal half-way keeps what was removed. The search only moves up, and so never meets an area that
 * somebody places into what was freed. Where accesses have pinned an area they get no more of it, and are asked to let
 * go; whatever happened meanwhile, the area is looked for anew.
 * Units: bytes removed, gaps not counted
 * Locks: takes domains_rwsem R; inside, by turns, iova_rwsem W, pages->mutex, dma_resv. Accesses are asked with none
 * Fails: EBUSY for an area in set-up or teardown, or locked; ENOENT for one that sticks out; EDEADLOCK when an access
 * does not let go
 */
export function* unmapRange(iopt: IoPagetable, start: Iova, last: Iova): Thread<{ bytes: Bytes; failed?: Errno }> {
  const sweep: Sweep = { start, from: start, bytes: ZERO };
  for (let [tries, asked] = [0, start]; ; ) {
    const stop = yield* removeUnpinned(iopt, sweep, last);
    if (isErrno(stop)) return { bytes: sweep.bytes, failed: stop };
    if (stop === undefined) return { bytes: sweep.bytes };
    if (!equal(stop.iova, asked)) tries = 0;
    asked = stop.iova;
    yield* notifyUnmap(iopt, stop.iova, stop.length);
    // The kernel warns here, of the driver.
    if (++tries > MOST_TRIES) return { bytes: sweep.bytes, failed: 'EDEADLOCK' };
  }
}

/** How far an UNMAP has come. */
interface Sweep {
  start: Iova;
  /** Undefined when nothing is above. */
  from: Iova | undefined;
  bytes: Bytes;
}

/** Where accesses are in the way. The area itself may be gone as soon as no lock is held. */
interface Pinned {
  readonly iova: Iova;
  readonly length: Bytes;
}

interface Taken {
  readonly area: Area;
  readonly pages: Pages;
}

/** Remove areas until none is left, one is refused, or accesses hold one. Locks: takes domains_rwsem R */
function* removeUnpinned(iopt: IoPagetable, sweep: Sweep, last: Iova): Thread<Pinned | Errno | undefined> {
  yield iopt.domainsRwsem.read;
  try {
    while (sweep.from !== undefined && atMost(sweep.from, last)) {
      yield iopt.iovaRwsem.write;
      let taken: Taken | Pinned | Errno | undefined;
      try {
        taken = takeLowest(iopt, sweep.from, last);
      } finally {
        iopt.iovaRwsem.releaseWrite();
      }
      if (taken === undefined || isErrno(taken)) return taken;
      if (!('area' in taken)) {
        sweep.start = taken.iova;
        sweep.from = taken.iova;
        return taken;
      }
      const { area, pages } = taken;
      yield* unfillDomains(area, pages);
      yield iopt.iovaRwsem.write;
      iopt.areas.remove(area);
      iopt.iovaRwsem.releaseWrite();
      yield* putPages(pages);
      sweep.bytes = add(sweep.bytes, area.length);
      sweep.from = behind(area, sweep.start);
      free(area, 'iopt_area');
    }
    return undefined;
  } finally {
    iopt.domainsRwsem.releaseRead();
  }
}

/** Where to look for the next area. An older kernel looks at all of the range again. */
function behind(removed: Area, start: Iova): Iova | undefined {
  return current().kernel.features.unmapMovesUp ? next(removed.last) : start;
}

/** The lowest area of [start, last], put into teardown unless accesses hold it. Locks: iova_rwsem W */
function takeLowest(iopt: IoPagetable, start: Iova, last: Iova): Taken | Pinned | Errno | undefined {
  assertHeldWrite(iopt.iovaRwsem);
  const area = iopt.areas.first(start, last);
  if (area === undefined) return undefined;
  const { pages } = area;
  if (pages === undefined || area.numLocks > 0) return 'EBUSY';
  if (less(area.iova, start) || less(last, area.last)) return 'ENOENT';
  if (area.numAccesses > 0) {
    area.preventAccess = true;
    return { iova: area.iova, length: area.length };
  }
  area.pages = undefined;
  return { area, pages };
}
