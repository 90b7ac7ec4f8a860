/**
 * Pinning pages of one area for an access, and letting go of them. The numbers of pinned pages are kept with the pages
 * object, so that they are known when no domain has them any more.
 *
 * Locks: access.ioas_lock and iova_rwsem R, which the caller holds; takes pages->mutex
 * Source: drivers/iommu/iommufd/pages.c, iopt_area_add_access(), iopt_pages_fill_xarray(), iopt_pages_unfill_xarray()
 */
import type { Errno } from '../kernel/errno.ts';
import { assertHeldAny } from '../kernel/rwsem.ts';
import { warnOn } from '../kernel/splat.ts';
import { current, shouldFail, type Thread } from '../kernel/thread.ts';
import type { PageIndex, Pfn } from '../kernel/units.ts';
import { chargePinned, unchargeUnpinned } from './accounting.ts';
import type { Area } from './area.ts';
import { readNext } from './fill.ts';
import type { Pages } from './pages.ts';
import { PagesAccess, PagesAccesses, spanAt } from './pages-accesses.ts';
import { PfnBatch } from './pfn-batch.ts';
import { PfnReader } from './pfn-reader.ts';
import { unpinRange } from './unpin.ts';

export interface PinHow {
  readonly write: boolean;
  /** An internal access's pin, against which no UNMAP helps. */
  readonly locks: boolean;
}

/**
 * iopt_area_add_access(): pin pages [first, last], and give their numbers. Pages that are pinned already are not pinned
 * again.
 * Fails: EPERM, EINVAL for a dma-buf, ENOMEM, EFAULT; nothing more is pinned then
 */
export function* areaAddAccess(
  { area, pages }: { readonly area: Area; readonly pages: Pages },
  first: PageIndex,
  last: PageIndex,
  { write, locks }: PinHow,
): Thread<Pfn[] | Errno> {
  assertHeldAny(area.iopt.iovaRwsem);
  if (write && !pages.writable) return 'EPERM';
  if (pages.source.kind === 'dmabuf' && current().kernel.features.accessRejectsDmabuf) return 'EINVAL';
  yield pages.mutex;
  try {
    pages.accesses ??= new PagesAccesses();
    const { accesses } = pages;
    const exact = accesses.exact(first, last);
    if (exact !== undefined) {
      exact.users++;
    } else {
      if (shouldFail('iopt_area_add_access')) return 'ENOMEM';
      const failed = yield* fillStore(pages, accesses, first, last);
      if (failed !== undefined) return failed;
      accesses.itree.insert(new PagesAccess(first, last));
    }
    area.numAccesses++;
    if (locks) area.numLocks++;
    return Array.from({ length: last - first + 1 }, (_, i) => accesses.pinnedPfns.get(first + i) as Pfn);
  } finally {
    pages.mutex.release();
  }
}

/** iopt_area_remove_access(): one pin of exactly [first, last] less. Pages that nobody holds then are unpinned. */
export function* areaRemoveAccess(area: Area, first: PageIndex, last: PageIndex, unlocks: boolean): Thread {
  assertHeldAny(area.iopt.iovaRwsem);
  const pages = area.pages as Pages;
  yield pages.mutex;
  try {
    const access = pages.accesses?.exact(first, last);
    warnOn(access === undefined || area.numAccesses === 0, 'pages are unpinned that were not pinned like that');
    const { itree } = pages.accesses as PagesAccesses;
    const held = access as PagesAccess;
    area.numAccesses--;
    if (unlocks) area.numLocks--;
    held.users--;
    if (held.users > 0) return;
    itree.remove(held);
    unfillStore(pages, pages.accesses as PagesAccesses, first, last);
  } finally {
    pages.mutex.release();
  }
}

/** iopt_pages_fill_xarray(): learn the numbers of pages [first, last], and pin those that nobody holds yet. */
function* fillStore(
  pages: Pages,
  accesses: PagesAccesses,
  first: PageIndex,
  last: PageIndex,
): Thread<Errno | undefined> {
  const reader = new PfnReader(pages, first, last);
  for (;;) {
    const failed = (yield* readNext(pages, reader)) ?? (reader.done ? chargePinned(pages) : store(accesses, reader));
    if (failed !== undefined) {
      forget(pages, accesses, first, last);
      reader.release();
      return failed;
    }
    if (reader.done) return undefined;
  }
}

/** pages_to_xarray(). Fails: ENOMEM half-way */
function store({ pinnedPfns }: PagesAccesses, { batch, start }: PfnReader): Errno | undefined {
  warnOn(batch.kind === 'mmio', 'device memory is pinned like memory of a process');
  let index = start;
  let failed: Errno | undefined;
  batch.eachRun(0, batch.total, (pfn, count) => {
    for (let i = 0; i < count && failed === undefined; i++) {
      if (shouldFail('pages_to_xarray')) failed = 'ENOMEM';
      else pinnedPfns.set(index++, pfn + i);
    }
  });
  return failed;
}

/** clear_xarray(): the numbers of those pages of [first, last] that no access holds. */
function forget(pages: Pages, { pinnedPfns }: PagesAccesses, first: PageIndex, last: PageIndex): void {
  for (let index = first; index <= last; ) {
    const span = spanAt(pages, index, last);
    if (span.by !== 'access') for (let i = index; i <= span.last; i++) pinnedPfns.delete(i);
    index = span.last + 1;
  }
}

/** iopt_pages_unfill_xarray(): no access of its own holds [first, last] any more. Unpin what nobody else holds. */
function unfillStore(pages: Pages, accesses: PagesAccesses, first: PageIndex, last: PageIndex): void {
  const batch = new PfnBatch();
  for (let index = first; index <= last; ) {
    const span = spanAt(pages, index, last);
    while (span.by === 'nobody' && index <= span.last) {
      batch.clear();
      while (
        index + batch.total <= span.last &&
        batch.add(accesses.pinnedPfns.get(index + batch.total) as Pfn, 1, 'cpu')
      );
      unpinRange(pages, batch, 0, batch.total);
      index += batch.total;
    }
    index = span.last + 1;
  }
  forget(pages, accesses, first, last);
  unchargeUnpinned(pages);
}
