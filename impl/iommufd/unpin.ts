/**
 * Letting go of pinned memory: read from the domain what it maps, unmap it, and only then unpin it. Pages that another
 * area keeps in a domain, or an access, stay pinned.
 *
 * Source: drivers/iommu/iommufd/pages.c, __iopt_area_unfill_domain(), iopt_area_unpin_domain()
 */
import type { Domain } from '../iommu/domain.ts';
import { assertHeld } from '../kernel/mutex.ts';
import { warnOn } from '../kernel/splat.ts';
import { PAGE_SIZE, type PageIndex, type Pfn, sub, toNumber } from '../kernel/units.ts';
import { unchargeUnpinned } from './accounting.ts';
import type { Area } from './area.ts';
import type { Pages } from './pages.ts';
import { spanAt } from './pages-accesses.ts';
import { PfnBatch } from './pfn-batch.ts';

/** Unmap the area from `domain`, and unpin what nobody else holds. Locks: pages->mutex */
export function unpinArea(area: Area, pages: Pages, domain: Domain): void {
  assertHeld(pages.mutex);
  const batch = new PfnBatch();
  for (let index = area.index; index <= area.lastIndex; index += batch.total) {
    batch.clear();
    while (index + batch.total <= area.lastIndex && batch.add(pfnAt(area, domain, index + batch.total), 1, 'cpu'));
    const start = area.iovaOfIndex(index);
    // A batch ends where its pages are not neighbours, so this cuts no large page.
    domain.unmap(start, toNumber(sub(area.iovaLastOfIndex(index + batch.total - 1), start)) + 1);
    unpinUnheld(pages, batch, index);
  }
  unchargeUnpinned(pages);
}

function pfnAt(area: Area, domain: Domain, index: PageIndex): Pfn {
  const phys = domain.translate(area.iovaOfIndex(index));
  warnOn(phys === undefined, 'the last domain of an area does not map it');
  return Math.floor((phys as number) / PAGE_SIZE);
}

/** Unpin those of the batch's pages, the first being page `first`, that no access holds, and no area in a domain. */
function unpinUnheld(pages: Pages, batch: PfnBatch, first: PageIndex): void {
  const last = first + batch.total - 1;
  for (let index = first; index <= last; ) {
    const span = spanAt(pages, index, last);
    if (span.by === 'nobody') unpinRange(pages, batch, index - first, span.last - index + 1);
    index = span.last + 1;
  }
}

/** Unpin `count` pages of the batch from number `at` on. */
export function unpinRange(pages: Pages, batch: PfnBatch, at: number, count: number): void {
  const { ram } = pages;
  batch.eachRun(at, count, (pfn, length) => ram.unpin(pfn, length));
  pages.npinned -= count;
}
