/**
 * Cutting areas in two, so that a VFIO container of the first version can unmap a part of what it has mapped. What the
 * domains translate is not touched.
 *
 * Source: drivers/iommu/iommufd/io_pagetable.c, iopt_cut_iova(), iopt_area_split()
 */

import type { Errno } from '../kernel/errno.ts';
import { assertHeld } from '../kernel/mutex.ts';
import { free } from '../kernel/poison.ts';
import { assertHeldWrite } from '../kernel/rwsem.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import { add, equal, type Iova, isAligned, ONE } from '../kernel/units.ts';
import { Area } from './area.ts';
import { store, unstore } from './fill.ts';
import type { IoPagetable } from './io-pagetable.ts';
import type { Pages } from './pages.ts';

/**
 * iopt_cut_iova(): let an area end at each of `iovas`, where there is an area. One cut that is refused ends it, and
 * those before stay.
 * Locks: takes iova_rwsem W, and pages->mutex inside
 * Fails: EBUSY, EOPNOTSUPP for a dma-buf, EINVAL where the alignment does not allow it, ENOMEM
 */
export function* cutIova(iopt: IoPagetable, iovas: readonly Iova[]): Thread<Errno | undefined> {
  yield iopt.iovaRwsem.write;
  try {
    for (const iova of iovas) {
      const area = iopt.areas.first(iova, iova);
      const failed = area && (yield* splitArea(iopt, area, iova));
      if (failed !== undefined) return failed;
    }
    return undefined;
  } finally {
    iopt.iovaRwsem.releaseWrite();
  }
}

/** iopt_area_split(): `iova` becomes the last byte of the left part. Locks: iova_rwsem W; takes pages->mutex */
function* splitArea(iopt: IoPagetable, area: Area, iova: Iova): Thread<Errno | undefined> {
  assertHeldWrite(iopt.iovaRwsem);
  if (equal(iova, area.iova) || equal(iova, area.last)) return undefined;
  const { pages } = area;
  if (pages === undefined || area.preventAccess) return 'EBUSY';
  if (pages.source.kind === 'dmabuf') return 'EOPNOTSUPP';
  const start = add(iova, ONE);
  if (!isAligned(start, iopt.alignment) || !isAligned(area.startByte(start), iopt.alignment)) return 'EINVAL';
  if (shouldFail('iopt_area_split')) return 'ENOMEM';
  yield pages.mutex;
  try {
    if (area.numAccesses > 0) return 'EINVAL';
    // What a domain holds in one large page cannot be unmapped in two parts.
    if (area.storage !== undefined && !iopt.disableLargePages) return 'EINVAL';
    replaceBy(area, pages, [
      new Area(iopt, area.iova, iova, area.prot, area.startByte(area.iova)),
      new Area(iopt, start, area.last, area.prot, area.startByte(start)),
    ]);
    return undefined;
  } finally {
    pages.mutex.release();
  }
}

/** Two areas for one, in its IOAS and in the tree of its pages. Locks: iova_rwsem W, pages->mutex */
function replaceBy(area: Area, pages: Pages, halves: readonly [Area, Area]): void {
  assertHeld(pages.mutex);
  const { areas } = area.iopt;
  const { storage } = area;
  areas.remove(area);
  for (const half of halves) areas.insert(half);
  if (storage !== undefined) {
    unstore(area, pages);
    for (const half of halves) store(half, pages, storage);
  }
  pages.kref.get();
  for (const half of halves) half.pages = pages;
  free(area, 'iopt_area');
}
