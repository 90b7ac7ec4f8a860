/**
 * Reads the page numbers of a range of a pages object, batch by batch: from what an access has pinned, or back from a
 * domain, where one holds them already, else from the memory itself, which pins it.
 *
 * Locks: pages->mutex, all the time, and mmap_lock while user memory is pinned; its caller takes both.
 * Source: drivers/iommu/iommufd/pages.c, struct pfn_reader
 */
import type { Errno } from '../kernel/errno.ts';
import type { Backing } from '../kernel/mm.ts';
import { assertHeld } from '../kernel/mutex.ts';
import { assertHeldAny } from '../kernel/rwsem.ts';
import { warnOn } from '../kernel/splat.ts';
import { current, shouldFail } from '../kernel/thread.ts';
import { less, PAGE_SIZE, type PageIndex, type Pfn, u64 } from '../kernel/units.ts';
import type { Area } from './area.ts';
import { isRevoked } from './dmabuf.ts';
import type { FileSource, Pages, UserSource } from './pages.ts';
import { spanAt } from './pages-accesses.ts';
import { PfnBatch } from './pfn-batch.ts';

export class PfnReader {
  readonly batch = new PfnBatch();
  readonly #pages: Pages;
  readonly #last: PageIndex;
  /** The batch holds pages [start, end). */
  #start: PageIndex;
  #end: PageIndex;
  /** What this reader has pinned, for an unwind. */
  readonly #pinned: { backing: Backing; first: number; count: number }[] = [];

  constructor(pages: Pages, first: PageIndex, last: PageIndex) {
    warnOn(isRevoked(pages), 'a reader starts on revoked pages');
    this.#pages = pages;
    this.#last = last;
    this.#start = first;
    this.#end = first;
  }

  get start(): PageIndex {
    return this.#start;
  }

  get done(): boolean {
    return this.#start > this.#last;
  }

  /** Whether any page that is still to be read must be pinned in user memory, because nobody has it. */
  get pinsUserMemory(): boolean {
    if (this.#pages.source.kind !== 'user') return false;
    let index = this.#end;
    while (index <= this.#last) {
      const span = spanAt(this.#pages, index, this.#last);
      if (span.by === 'nobody') return true;
      index = span.last + 1;
    }
    return false;
  }

  /**
   * pfn_reader_next(): the next batch.
   * Locks: caller holds pages->mutex, and mmap_lock while `pinsUserMemory`
   * Fails: EFAULT, EINVAL, ENOMEM; `release` undoes the pins then
   */
  next(): Errno | undefined {
    assertHeld(this.#pages.mutex);
    this.#start = this.#end;
    if (this.done) return undefined;
    if (shouldFail('batch_init')) return 'ENOMEM';
    this.batch.clear();
    while (this.#end <= this.#last) {
      const before = this.#end;
      const failed = this.#fillSpan();
      if (failed !== undefined) return failed;
      if (this.#end === before) break; // The batch is full, or of the other kind.
    }
    return undefined;
  }

  /** pfn_reader_release_pins(): unpin all that this reader has pinned so far. */
  release(): void {
    for (const { backing, first, count } of this.#pinned) {
      backing.unpin(first, count);
      this.#pages.npinned -= count;
    }
    this.#pinned.length = 0;
  }

  /** Add the next stretch that lies in one place, or as much of it as fits. */
  #fillSpan(): Errno | undefined {
    const pages = this.#pages;
    const { source } = pages;
    const span = this.#skipsDomains() ? undefined : spanAt(pages, this.#end, this.#last);
    if (span?.by === 'access') {
      this.#fromAccess(span.last);
      return undefined;
    }
    if (span?.by === 'domain') {
      this.#fromDomain(span.area, span.last);
      return undefined;
    }
    const last = span?.last ?? this.#last;
    if (source.kind === 'user') return this.#pinUser(source, last);
    if (source.kind === 'file') return this.#pinFile(source, last);
    const pfn = source.paddr / PAGE_SIZE + source.startPage + this.#end;
    if (this.batch.add(pfn, last - this.#end + 1, 'mmio')) this.#end = last + 1;
    return undefined;
  }

  #skipsDomains(): boolean {
    return this.#pages.source.kind === 'dmabuf' && current().kernel.features.dmabufKeepsMmio;
  }

  /** batch_from_xarray() */
  #fromAccess(last: PageIndex): void {
    const pfns = this.#pages.accesses?.pinnedPfns;
    while (this.#end <= last) {
      const pfn = pfns?.get(this.#end);
      warnOn(pfn === undefined, 'an access holds a page without its number');
      if (!this.batch.add(pfn as Pfn, 1, 'cpu')) return;
      this.#end++;
    }
  }

  /** batch_from_domain(): what was RAM or not is forgotten. */
  #fromDomain(area: Area, last: PageIndex): void {
    while (this.#end <= last && this.batch.add(pfnInDomain(area, this.#end), 1, 'cpu')) this.#end++;
  }

  #pinUser({ mm, startPage }: UserSource, last: PageIndex): Errno | undefined {
    assertHeldAny(mm.mmapLock);
    while (this.#end <= last) {
      const page = startPage + this.#end;
      const vma = mm.find(page);
      const backing = vma?.backing;
      // A PFN map, such as one of a BAR, has no pages that could be pinned.
      if (vma === undefined || backing === undefined || shouldFail('pin_user_pages')) return 'EFAULT';
      const first = vma.indexOf(page);
      if (this.#pages.writable && !vma.flags.has('WRITE')) return 'EFAULT';
      // A mapping may end before its memory does, and go on behind it.
      const there = Math.min(backing.pages - first, vma.lastPage - page + 1);
      if (there <= 0) return 'EFAULT';
      if (!this.#pin(backing, first, Math.min(there, last - this.#end + 1))) return undefined;
    }
    return undefined;
  }

  /** A file is looked at only now: what is no memfd, or ends too early, cannot be pinned. */
  #pinFile(source: FileSource, last: PageIndex): Errno | undefined {
    const { memfd } = source;
    const lastByte = u64(source.startPage + last, PAGE_SIZE - 1);
    const end = less(source.last, lastByte) ? source.last : lastByte;
    if (memfd === undefined || !less(end, memfd.size)) return 'EINVAL';
    if (shouldFail('memfd_pin_folios')) return 'ENOMEM';
    this.#pin(memfd.backing, source.startPage + this.#end, last - this.#end + 1);
    return undefined;
  }

  #pin(backing: Backing, first: number, count: number): boolean {
    if (!this.batch.add(backing.firstPfn + first, count, 'cpu')) return false;
    backing.pin(first, count);
    this.#pinned.push({ backing, first, count });
    this.#pages.npinned += count;
    this.#end += count;
    return true;
  }
}

/** The page number that the area's storage domain holds for page `index` of its pages. */
function pfnInDomain(area: Area, index: PageIndex): number {
  const phys = area.storage?.translate(area.iovaOfIndex(index));
  warnOn(phys === undefined, 'the storage domain of an area does not map it');
  return Math.floor((phys as number) / PAGE_SIZE);
}
