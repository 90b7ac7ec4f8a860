/**
 * Memory that is not a device's: physical pages, the mappings of a process, and memfds. Everything here is pinned page
 * by page and counted, so that a pin that nobody drops is seen.
 */

import { AddressSpace } from './address-space.ts';
import { indexFrom, lastFrom } from './ascending.ts';
import { CpuPageTable, type Span } from './cpu-page-table.ts';
import type { Errno } from './errno.ts';
import { LOCKLESS, touches } from './footprint.ts';
import { chargesChange, mappingsChange } from './live.ts';
import { Rwsem } from './rwsem.ts';
import { Splat } from './splat.ts';
import type { Thread } from './thread.ts';
import { PAGE_SIZE, type Pfn, type PhysAddr, type U64, type UserAddr, u64 } from './units.ts';
import { type Mappable, Vma } from './vma.ts';

/** Physically contiguous pages of RAM behind one mapping or one memfd. */
export class Backing {
  readonly name: string;
  readonly pages: number;
  readonly firstPfn: Pfn;
  /** Pins of each page; made when the first is pinned. */
  #pins: Uint32Array | undefined;
  #pinned = 0;
  /** What pages hold that were ever written to; the others are zero. */
  #contents: Map<number, Uint8Array> | undefined;

  constructor(name: string, pages: number, firstPfn: Pfn) {
    this.name = name;
    this.pages = pages;
    this.firstPfn = firstPfn;
  }

  /** Pins of all pages together. */
  get pinned(): number {
    return this.#pinned;
  }

  /** Pin `count` pages from page `index` on. */
  pin(index: number, count: number): void {
    touches(LOCKLESS);
    this.#pins ??= new Uint32Array(this.pages);
    for (let i = index; i < index + count; i++) this.#pins[i] = (this.#pins[i] as number) + 1;
    this.#pinned += count;
    chargesChange();
  }

  unpin(index: number, count: number): void {
    touches(LOCKLESS);
    const pins = this.#pins;
    for (let i = index; i < index + count; i++) {
      if (pins === undefined || !(pins[i] as number))
        throw new Splat('refcount', `${this.name}: page ${i} is not pinned`);
      pins[i] = (pins[i] as number) - 1;
    }
    this.#pinned -= count;
    chargesChange();
  }

  /** How often page `index` is pinned. */
  pinsOf(index: number): number {
    return this.#pins?.[index] ?? 0;
  }

  /** Copy the bytes from `offset` on, which all lie in this memory, into `data`. */
  read(offset: number, data: Uint8Array): void {
    eachPage(offset, data.length, (page, at, from, length) => {
      const held = this.#contents?.get(page);
      if (held === undefined) data.fill(0, from, from + length);
      else data.set(held.subarray(at, at + length), from);
    });
  }

  /** Copy `data` over the bytes from `offset` on, which all lie in this memory. */
  write(offset: number, data: Uint8Array): void {
    this.#contents ??= new Map();
    const contents = this.#contents;
    eachPage(offset, data.length, (page, at, from, length) => {
      const held = contents.get(page) ?? new Uint8Array(PAGE_SIZE);
      contents.set(page, held);
      held.set(data.subarray(from, from + length), at);
    });
  }
}

/** Cut [offset, offset + length) at page boundaries: which page, where in it, where in the whole, how much. */
function eachPage(
  offset: number,
  length: number,
  visit: (page: number, at: number, from: number, length: number) => void,
): void {
  for (let from = 0; from < length; ) {
    const page = Math.floor((offset + from) / PAGE_SIZE);
    const at = offset + from - page * PAGE_SIZE;
    const here = Math.min(length - from, PAGE_SIZE - at);
    visit(page, at, from, here);
    from += here;
  }
}

/** User mappings begin at multiples of this, and lie in the lower half of the address space. */
const ALIGN_PAGES = (64 * 1024 * 1024) / PAGE_SIZE;
const FIRST_USER_PAGE = 0x7000_0000_0000 / PAGE_SIZE;
/** TASK_SIZE, in pages. */
export const USER_PAGES = 2 ** 47 / PAGE_SIZE;

/** The address space of a process. */
export class Mm {
  readonly mmapLock = new Rwsem('mmap_lock', 'mmap_lock');
  readonly pageTable = new CpuPageTable();
  readonly #ram: Ram;
  /** Ascending, for binary search. Protected by mmap_lock. */
  readonly #vmas: Vma[] = [];
  #nextPage = FIRST_USER_PAGE;
  /** The process has ended, and has no memory any more; what is pinned stays. */
  exited = false;
  #pinnedVm = 0;
  #lockedVm = 0;

  constructor(ram: Ram) {
    this.#ram = ram;
  }

  /** Pages pinned on the account of this process. */
  get pinnedVm(): number {
    return this.#pinnedVm;
  }

  set pinnedVm(pinnedVm: number) {
    this.#pinnedVm = pinnedVm;
    chargesChange();
  }

  /** Those of them that count against a limit of its own. */
  get lockedVm(): number {
    return this.#lockedVm;
  }

  set lockedVm(lockedVm: number) {
    this.#lockedVm = lockedVm;
    chargesChange();
  }

  /** mm_init(): of a child, which maps next where its parent would. */
  sibling(): Mm {
    const mm = new Mm(this.#ram);
    mm.#nextPage = this.#nextPage;
    return mm;
  }

  /**
   * mmap(2) of anonymous memory: where it begins. Locks: caller holds mmap_lock for writing
   * Fails: EINVAL for no length, ENOMEM for too much
   */
  mapAnonymous(name: string, length: U64): UserAddr | Errno {
    const backing = this.#ram.allocate(name, length);
    if (!(backing instanceof Backing)) return backing;
    if (!this.hasRoom(backing.pages)) return 'ENOMEM';
    const startPage = this.#nextPage;
    const vma = new Vma(this, startPage, backing.pages);
    vma.backing = backing;
    this.insert(vma);
    return u64(startPage, 0);
  }

  /** get_unmapped_area(): where the next mapping begins. ENOMEM for more than any process can have. */
  unmappedArea(npages: number): number | Errno {
    return npages >= USER_PAGES ? 'ENOMEM' : this.#nextPage;
  }

  /** Whether there is room for it, and for the hole behind it. */
  hasRoom(npages: number): boolean {
    return this.#nextPage + npages + 1 <= USER_PAGES;
  }

  /** Enter a mapping at the unmapped area. No address is ever given again, and nothing is mapped next to it. */
  insert(vma: Vma): void {
    this.#nextPage = Math.ceil((vma.lastPage + 2) / ALIGN_PAGES) * ALIGN_PAGES;
    this.#vmas.push(vma);
    mappingsChange();
  }

  /** Enter a part of what was a mapping. */
  add(vma: Vma): void {
    this.#vmas.splice(this.#indexFrom(vma.startPage) + 1, 0, vma);
    mappingsChange();
  }

  remove(vma: Vma): void {
    this.#vmas.splice(this.#indexFrom(vma.startPage), 1);
    mappingsChange();
  }

  /** Where the last mapping stands that begins at the page or before; -1 where there is none. */
  #indexFrom(page: number): number {
    return indexFrom(this.#vmas, page, ({ startPage }) => startPage);
  }

  /** All mappings of which a page lies in [first, last], ascending. */
  overlapping(first: number, last: number): Vma[] {
    const found: Vma[] = [];
    for (let i = Math.max(this.#indexFrom(first), 0); i < this.#vmas.length; i++) {
      const vma = this.#vmas[i] as Vma;
      if (vma.startPage > last) break;
      if (vma.lastPage >= first) found.push(vma);
    }
    return found;
  }

  /** The pages between the mapping before a page and the one after it, where the page itself is in none. */
  roomAround(page: number): Span {
    const at = this.#indexFrom(page);
    const [before, after] = [this.#vmas[at], this.#vmas[at + 1]];
    return { first: before === undefined ? 0 : before.lastPage + 1, last: (after?.startPage ?? USER_PAGES) - 1 };
  }

  get vmas(): readonly Vma[] {
    return this.#vmas;
  }

  /** find_vma(): the mapping that covers a page of the process. */
  find(page: number): Vma | undefined {
    const vma = lastFrom(this.#vmas, page, ({ startPage }) => startPage);
    return vma !== undefined && page <= vma.lastPage ? vma : undefined;
  }

  /** The RAM behind a page of the process, and how many pages lie there in a row. What a BAR holds, nobody keeps. */
  ramAt(page: number): { readonly backing: Backing; readonly index: number; readonly pages: number } | undefined {
    const vma = this.find(page);
    if (vma?.backing === undefined) return undefined;
    const index = vma.indexOf(page);
    const pages = Math.min(vma.backing.pages - index, vma.lastPage - page + 1);
    return pages > 0 ? { backing: vma.backing, index, pages } : undefined;
  }
}

/** What one allocation may have at the most, in bytes. */
const LARGEST = 2 ** 30;

/** The machine's RAM: hands out pages, and tells what lies at an address. */
export class Ram {
  readonly #backings: Backing[] = [];
  readonly #firstPfn: Pfn;
  readonly #endPfn: Pfn;
  #nextPfn: Pfn;

  constructor(first: PhysAddr, end: PhysAddr) {
    this.#firstPfn = first / PAGE_SIZE;
    this.#endPfn = end / PAGE_SIZE;
    this.#nextPfn = this.#firstPfn;
  }

  /** Pages for `length` bytes. EINVAL for none, ENOMEM for more than LARGEST. */
  allocate(name: string, length: U64): Backing | Errno {
    touches(LOCKLESS);
    const pages = length.page + (length.byte > 0 ? 1 : 0);
    if (pages === 0) return 'EINVAL';
    if (pages > LARGEST / PAGE_SIZE || pages > this.#endPfn - this.#nextPfn) return 'ENOMEM';
    const backing = new Backing(name, pages, this.#nextPfn);
    this.#nextPfn += pages + 1;
    this.#backings.push(backing);
    return backing;
  }

  /** The backing that holds a page. They are ascending, as they were handed out. */
  at(pfn: Pfn): Backing | undefined {
    const backing = lastFrom(this.#backings, pfn, ({ firstPfn }) => firstPfn);
    return backing !== undefined && pfn < backing.firstPfn + backing.pages ? backing : undefined;
  }

  /** `pfn_valid()`, and no reserved page: whether the number is that of a page whose users are counted. */
  hasPage(pfn: Pfn): boolean {
    return this.#firstPfn <= pfn && pfn < this.#endPfn;
  }

  /** Unpin `count` neighbouring pages, whoever they back. */
  unpin(pfn: Pfn, count: number): void {
    for (let done = 0; done < count; ) {
      const backing = this.at(pfn + done);
      if (backing === undefined) throw new Splat('refcount', 'unpin of a page that is no RAM');
      const first = pfn + done - backing.firstPfn;
      const here = Math.min(count - done, backing.pages - first);
      backing.unpin(first, here);
      done += here;
    }
  }

  get backings(): readonly Backing[] {
    return this.#backings;
  }
}

/** A memfd: pages, and the exact size that MAP_FILE must keep within. A mapping of it may be longer. */
export class Memfd implements Mappable {
  readonly backing: Backing;
  readonly size: U64;
  readonly mapping: AddressSpace;
  /** Files end at 2^63 - 1 bytes. */
  readonly endPage = 2 ** 51;

  constructor(backing: Backing, size: U64) {
    this.backing = backing;
    this.size = size;
    this.mapping = new AddressSpace(backing.name);
  }

  /** shmem_mmap() */
  *mmap(vma: Vma): Thread<undefined> {
    vma.backing = this.backing;
    return undefined;
  }
}

/** Byte `offset` of the page `pfn`. */
export const physOf = (pfn: Pfn, offset: number): PhysAddr => pfn * PAGE_SIZE + offset;
