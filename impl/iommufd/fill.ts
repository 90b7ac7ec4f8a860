/**
 * Filling areas into domains, and taking them out again.
 *
 * Locks: domains_rwsem for reading at least (one area in all domains) or for writing (one domain); each takes the
 * area's pages->mutex itself or says that the caller holds it.
 * Source: drivers/iommu/iommufd/pages.c
 */
import type { Domain } from '../iommu/domain.ts';
import type { Errno } from '../kernel/errno.ts';
import { assertHeld } from '../kernel/mutex.ts';
import { assertHeldAny, assertHeldWrite } from '../kernel/rwsem.ts';
import { warnOn } from '../kernel/splat.ts';
import type { Thread } from '../kernel/thread.ts';
import { type PageIndex, sub, toNumber } from '../kernel/units.ts';
import { chargePinned } from './accounting.ts';
import { type Area, StoredArea } from './area.ts';
import { isRevoked, trackAllDomains, trackDomain, untrackAllDomains, untrackDomain } from './dmabuf.ts';
import type { Pages } from './pages.ts';
import { PfnReader } from './pfn-reader.ts';
import { unpinArea } from './unpin.ts';

/**
 * iopt_area_fill_domains(): map the area in every domain of its IOAS; the first becomes its storage domain. The area of
 * a revoked buffer is entered everywhere and mapped nowhere.
 * Locks: domains_rwsem; takes pages->mutex
 * Fails: ENOMEM, EFAULT, EINVAL, what a domain says; then no domain maps any of it
 */
export function* fillDomains(area: Area, pages: Pages): Thread<Errno | undefined> {
  assertHeldAny(area.iopt.domainsRwsem);
  const { domains } = area.iopt;
  const storage = domains[0];
  if (storage === undefined) return undefined;
  yield pages.mutex;
  try {
    const untracked = trackAllDomains(pages, area, domains);
    if (untracked !== undefined) return untracked;
    if (!isRevoked(pages)) {
      const failed = yield* mapInto(area, pages, domains);
      if (failed !== undefined) {
        untrackAllDomains(pages, area);
        return failed;
      }
    }
    store(area, pages, storage);
    return undefined;
  } finally {
    pages.mutex.release();
  }
}

/**
 * Map the area in one domain more.
 * Locks: caller holds domains_rwsem W; takes pages->mutex
 * Fails: as iopt_area_fill_domains(); then the domain maps none of it
 */
export function* fillDomain(area: Area, pages: Pages, domain: Domain): Thread<Errno | undefined> {
  assertHeldWrite(area.iopt.domainsRwsem);
  yield pages.mutex;
  try {
    return yield* fillLocked(area, pages, domain);
  } finally {
    pages.mutex.release();
  }
}

/** iopt_area_fill_domain(). Locks: caller holds pages->mutex */
export function* fillLocked(area: Area, pages: Pages, domain: Domain): Thread<Errno | undefined> {
  assertHeld(pages.mutex);
  const untracked = trackDomain(pages, area, domain);
  if (untracked !== undefined) return untracked;
  if (!isRevoked(pages)) {
    const failed = yield* mapInto(area, pages, domain.alone);
    if (failed !== undefined) {
      untrackDomain(pages, area, domain);
      return failed;
    }
  }
  if (area.storage === undefined) store(area, pages, domain);
  return undefined;
}

/**
 * Read the pages batch by batch, and map each batch in every domain; what that has pinned is charged at the end. On
 * failure all of it is undone.
 */
function* mapInto(area: Area, pages: Pages, domains: readonly Domain[]): Thread<Errno | undefined> {
  const reader = new PfnReader(pages, area.index, area.lastIndex);
  for (;;) {
    // Only user memory may have to be waited for.
    const unread = pages.source.kind === 'user' ? yield* readNext(pages, reader) : reader.next();
    const failed = unread ?? (reader.done ? chargePinned(pages) : undefined);
    if (failed !== undefined) {
      for (const domain of domains) unmapPages(area, domain, reader.start);
      reader.release();
      return failed;
    }
    if (reader.done) return undefined;
    const unmapped = mapBatch(reader, area, domains);
    if (unmapped !== undefined) {
      reader.release();
      return unmapped;
    }
  }
}

/** The next batch. Locks: caller holds pages->mutex; takes mmap_lock R if user memory must be pinned. */
export function* readNext({ source }: Pages, reader: PfnReader): Thread<Errno | undefined> {
  if (source.kind !== 'user' || !reader.pinsUserMemory) return reader.next();
  const { mmapLock } = source.mm;
  yield mmapLock.read;
  try {
    return reader.next();
  } finally {
    mmapLock.releaseRead();
  }
}

/** One batch into every domain; on failure nothing that was mapped so far stays mapped. */
function mapBatch(reader: PfnReader, area: Area, domains: readonly Domain[]): Errno | undefined {
  let mapped = 0;
  for (const domain of domains) {
    const failed = reader.batch.toDomain(domain, area, reader.start);
    if (failed !== undefined) {
      const end = reader.start + reader.batch.total;
      for (const [d, undone] of domains.entries()) unmapPages(area, undone, d < mapped ? end : reader.start);
      return failed;
    }
    mapped++;
  }
  return undefined;
}

/** Unmap the area's pages below `end`. */
function unmapPages(area: Area, domain: Domain, end: PageIndex): void {
  if (end <= area.index) return;
  domain.unmap(area.iova, toNumber(sub(area.iovaLastOfIndex(end - 1), area.iova)) + 1);
}

/** The area's pages can be read back from `domain` from now on. Locks: pages->mutex */
export function store(area: Area, pages: Pages, domain: Domain): void {
  area.storage = domain;
  area.pagesNode = new StoredArea(area);
  pages.domainsItree.insert(area.pagesNode);
}

/** The reverse. Locks: pages->mutex */
export function unstore(area: Area, pages: Pages): void {
  warnOn(area.pagesNode === undefined, 'an area leaves the domains tree twice');
  pages.domainsItree.remove(area.pagesNode as StoredArea);
  area.pagesNode = undefined;
  area.storage = undefined;
}

/** iopt_area_unmap_domain(): the whole area out of one domain, which keeps its pages. Locks: pages->mutex */
function unmapArea(area: Area, domain: Domain): void {
  domain.unmap(area.iova, toNumber(area.length));
}

/**
 * iopt_area_unfill_domains(): out of every domain; then nothing pins the pages for this area. A revoked area has
 * nothing to unmap any more.
 * Locks: domains_rwsem; takes pages->mutex
 */
export function* unfillDomains(area: Area, pages: Pages): Thread {
  assertHeldAny(area.iopt.domainsRwsem);
  yield pages.mutex;
  try {
    const { storage } = area;
    if (storage === undefined) return;
    if (!isRevoked(pages)) {
      for (const domain of area.iopt.domains) if (domain !== storage) unmapArea(area, domain);
    }
    unstoreAndUnpin(area, pages, storage);
    untrackAllDomains(pages, area);
  } finally {
    pages.mutex.release();
  }
}

/**
 * Out of one domain that leaves, or never came to be. What the remaining domains hold stays; when none remains, the
 * pages are let go of.
 * Locks: caller holds domains_rwsem W; takes pages->mutex
 */
export function* unfillDomain(area: Area, pages: Pages, domain: Domain, remaining: readonly Domain[]): Thread {
  assertHeldWrite(area.iopt.domainsRwsem);
  yield pages.mutex;
  try {
    unfillLocked(area, pages, domain, remaining);
  } finally {
    pages.mutex.release();
  }
}

/** Locks: caller holds pages->mutex */
export function unfillLocked(area: Area, pages: Pages, domain: Domain, remaining: readonly Domain[]): void {
  assertHeld(pages.mutex);
  const heir = remaining[0];
  if (heir === undefined) {
    unstoreAndUnpin(area, pages, domain);
  } else {
    if (!isRevoked(pages)) unmapArea(area, domain);
    if (area.storage === domain) area.storage = heir;
  }
  untrackDomain(pages, area, domain);
}

/** iopt_area_unfill_domain(): the last domain gives the pages back, after it has unmapped them. */
function unstoreAndUnpin(area: Area, pages: Pages, storage: Domain): void {
  unstore(area, pages);
  if (isRevoked(pages)) return;
  if (pages.source.kind === 'dmabuf') unmapArea(area, storage);
  else unpinArea(area, pages, storage);
}
