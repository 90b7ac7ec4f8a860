/**
 * A multi-level page table: 512 entries a table, leaves at every level whose page size the hardware knows. A page size
 * between those of two levels is a leaf of several entries, 2^order of them. Addresses are counted in granules (the
 * smallest page), as plain numbers: this is the hot path. Nothing shadows it; what a device can reach is what a walk of
 * these tables finds.
 *
 * An entry is 0 when empty, else `granule * 1024 + order * 64 + protection`, plus 32 once it was written. Masking the
 * low bits of a whole number below 2^53 is exact, because the conversion to 32 bits keeps them; nothing else here is
 * masked.
 */
import { Splat } from '../kernel/splat.ts';
import { shouldFail } from '../kernel/thread.ts';
import { ENTRIES, type LeafSize, type PageTableFormat } from './page-table-format.ts';

const ENTRY_BITS = 1024;
const PROT_BITS = 64;
/** What the hardware sets in the leaf of a page that a device has written. */
const DIRTY = 32;
const PROTECTION = DIRTY - 1;

const targetOf = (entry: number): number => Math.floor(entry / ENTRY_BITS);
const protOf = (entry: number): number => entry & PROTECTION;
/** How many entries the leaf has. */
const entriesOf = (entry: number): number => 1 << ((entry & (ENTRY_BITS - 1)) >> 6);
/** Its first entry. */
const headOf = (index: number, entry: number): number => index - (index & (entriesOf(entry) - 1));

/**
 * What a table begins as; a copy of it is cheaper than any other way to make one, and an array of doubles, as this is
 * since it held a fraction, cheaper than a typed array, whose memory is not of the heap.
 */
const NO_ENTRIES: readonly number[] = Array.from({ length: ENTRIES }, () => 0.5).fill(0);
const NO_CHILDREN: readonly (Table | undefined)[] = new Array<Table | undefined>(ENTRIES).fill(undefined);

class Table {
  /** Above the lowest level those of all tables that have none, until a leaf comes. */
  entries: readonly number[] = NO_ENTRIES;
  readonly children: (Table | undefined)[] | undefined;
  /** Entries and children in use; an empty table is given back. */
  used = 0;
  /** Those in use lie in [from, to]. */
  from = ENTRIES;
  to = -1;

  constructor(level: number) {
    this.children = level === 0 ? undefined : NO_CHILDREN.slice();
  }

  /** Entries or children from `first` to `last` come into use. */
  use(first: number, last: number): void {
    this.used += last - first + 1;
    if (first < this.from) this.from = first;
    if (last > this.to) this.to = last;
  }

  /** `count` of them go out of use. */
  unuse(count: number): void {
    this.used -= count;
    if (this.used > 0) return;
    this.from = ENTRIES;
    this.to = -1;
  }

  /** To be changed. */
  get ownEntries(): number[] {
    if (this.entries === NO_ENTRIES) this.entries = NO_ENTRIES.slice();
    return this.entries as number[];
  }
}

/** Free tables, all entries zero: by whether they have children. */
const freeTables: [leaf: Table[], inner: Table[]] = [[], []];

/** What one leaf says: granule and protection of the byte asked for, and where the leaf ends. */
export type Visit = (granule: number, target: number, granules: number, prot: number) => void;

export class PageTable {
  readonly #span: readonly number[];
  readonly #leafSizes: readonly LeafSize[];
  readonly #root: Table;
  readonly #top: number;

  constructor({ span, leafSizes }: PageTableFormat) {
    this.#span = span;
    this.#leafSizes = leafSizes;
    this.#top = span.length - 1;
    this.#root = freeTables[this.#top === 0 ? 0 : 1].pop() ?? new Table(this.#top);
  }

  /**
   * Map [granule, granule + count) to `target`, largest leaves first. ENOMEM leaves nothing of this call behind.
   * Fails with a Splat over an existing entry.
   */
  map(granule: number, target: number, count: number, prot: number): 'ENOMEM' | undefined {
    let done = 0;
    while (done < count) {
      const mapped = this.#mapRun(granule + done, target + done, count - done, prot);
      if (mapped === 0) {
        if (done > 0) this.unmap(granule, done);
        return 'ENOMEM';
      }
      done += mapped;
    }
    return undefined;
  }

  /** Fill one table from `granule` on with leaves of the largest size that fits; how many granules, 0 for ENOMEM. */
  #mapRun(granule: number, target: number, count: number, prot: number): number {
    const fits = this.#largestFit(granule, target, count);
    const { granules, level, order } = this.#leafSizes[fits] as LeafSize;
    const table = this.#descend(granule, level);
    if (table === undefined) return 0;
    const size = this.#span[level] as number;
    const first = this.#index(granule, level);
    const until = untilLarger(granule, target, this.#leafSizes[fits - 1]?.granules);
    const leaves = Math.floor(Math.min(count, (ENTRIES - first) * size, until) / granules);
    const entries = leaves << order;
    const into = table.ownEntries;
    for (let i = 0; i < entries; i++) {
      const at = first + i;
      if (into[at] !== 0 || table.children?.[at] !== undefined) {
        throw new Splat('map over a mapping', `granule 0x${(granule + i * size).toString(16)} is mapped already`);
      }
      into[at] = (target + i * size) * ENTRY_BITS + order * PROT_BITS + prot;
    }
    table.use(first, first + entries - 1);
    return leaves * granules;
  }

  /** The place of the largest page size that the addresses and the length allow. */
  #largestFit(granule: number, target: number, count: number): number {
    for (let at = 0; ; at++) {
      const { granules } = this.#leafSizes[at] as LeafSize;
      if (granules <= count && isMultiple(granule, granules) && isMultiple(target, granules)) return at;
    }
  }

  #descend(granule: number, level: number): Table | undefined {
    let table = this.#root;
    for (let at = this.#top; at > level; at--) {
      const index = this.#index(granule, at);
      if (table.entries[index] !== 0) throw new Splat('map over a mapping', 'a larger page lies there already');
      const children = table.children as (Table | undefined)[];
      let child = children[index];
      if (child === undefined) {
        if (shouldFail('iommu_alloc_pages')) return this.#prune(granule, at);
        child = freeTables[at === 1 ? 0 : 1].pop() ?? new Table(at - 1);
        children[index] = child;
        table.use(index, index);
      }
      table = child;
    }
    return table;
  }

  /** Give back the empty tables above a failed allocation at `level`. */
  #prune(granule: number, level: number): undefined {
    if (level < this.#top) this.#clear(this.#root, this.#top, granule, 0);
    return undefined;
  }

  /** How many tables there are, the root among them; for observers. */
  get tables(): number {
    return countTables(this.#root);
  }

  /** Clear [granule, granule + count); how many granules were cleared before something was not mapped. */
  unmap(granule: number, count: number): number {
    return this.#clear(this.#root, this.#top, granule, count);
  }

  #clear(table: Table, level: number, granule: number, count: number): number {
    const size = this.#span[level] as number;
    let done = 0;
    do {
      const index = this.#index(granule + done, level);
      const child = table.children?.[index];
      let cleared: number;
      if (child !== undefined) {
        const inside = size - (granule + done - Math.floor((granule + done) / size) * size);
        cleared = this.#clear(child, level - 1, granule + done, Math.min(count - done, inside));
        if (child.used === 0) this.#free(table, index, child, level);
        if (cleared < Math.min(count - done, inside)) return done + cleared;
      } else {
        const entry = table.entries[index] as number;
        if (entry === 0 || count === 0) return done;
        const entries = entriesOf(entry);
        cleared = entries * size;
        if (count - done < cleared || !isMultiple(granule + done, cleared)) return done; // cuts a large page
        for (let at = index; at < index + entries; at++) table.ownEntries[at] = 0;
        table.unuse(entries);
      }
      done += cleared;
    } while (done < count && this.#index(granule + done, level) !== 0);
    return done;
  }

  #free(table: Table, index: number, child: Table, level: number): void {
    (table.children as (Table | undefined)[])[index] = undefined;
    table.unuse(1);
    freeTables[level === 1 ? 0 : 1].push(child);
  }

  /** Where `granule` leads: `target * 64 + protection`, or 0. */
  lookup(granule: number): number {
    let table = this.#root;
    for (let level = this.#top; ; level--) {
      const index = this.#index(granule, level);
      const entry = table.entries[index] as number;
      if (entry !== 0) {
        const size = this.#span[level] as number;
        return (targetOf(entry) + (granule - Math.floor(granule / size) * size)) * PROT_BITS + protOf(entry);
      }
      const child = table.children?.[index];
      if (child === undefined) return 0;
      table = child;
    }
  }

  /** Visit every leaf that meets [first, last], clipped to it, ascending. */
  walk(first: number, last: number, visit: Visit): void {
    this.#walk(this.#root, this.#top, 0, first, last, visit);
  }

  #walk(table: Table, level: number, base: number, first: number, last: number, visit: Visit): void {
    const size = this.#span[level] as number;
    const from = Math.max(table.from, Math.floor((first - base) / size));
    const to = Math.min(table.to, Math.floor((last - base) / size));
    const { entries, children } = table;
    for (let index = from; index <= to; index++) {
      const entry = entries[index] as number;
      if (entry !== 0) {
        const at = base + index * size;
        const start = Math.max(at, first);
        const behind = headOf(index, entry) + entriesOf(entry);
        const end = Math.min(base + behind * size - 1, last);
        visit(start, targetOf(entry) + (start - at), end - start + 1, protOf(entry));
        index = behind - 1;
      } else if (children !== undefined) {
        const child = children[index];
        if (child !== undefined) this.#walk(child, level - 1, base + index * size, first, last, visit);
      }
    }
  }

  /** The page of `granule` was written: set the bit of its leaf, in the first entry. False where nothing is mapped. */
  setDirty(granule: number): boolean {
    let table = this.#root;
    for (let level = this.#top; ; level--) {
      const index = this.#index(granule, level);
      const entry = table.entries[index] as number;
      if (entry !== 0) {
        const head = headOf(index, entry);
        const first = table.entries[head] as number;
        table.ownEntries[head] = first - (first & DIRTY) + DIRTY;
      }
      const child = table.children?.[index];
      if (entry !== 0 || child === undefined) return entry !== 0;
      table = child;
    }
  }

  /** Visit what of [first, last] lies in written leaves, ascending; `clear` takes their bits away, whole. */
  readDirty(first: number, last: number, clear: boolean, visit: (granule: number, granules: number) => void): void {
    this.#readDirty(this.#root, this.#top, 0, first, last, clear, visit);
  }

  #readDirty(
    table: Table,
    level: number,
    base: number,
    first: number,
    last: number,
    clear: boolean,
    visit: (granule: number, granules: number) => void,
  ): void {
    const size = this.#span[level] as number;
    const to = Math.min(table.to, Math.floor((last - base) / size));
    for (let index = Math.max(table.from, Math.floor((first - base) / size)); index <= to; index++) {
      const at = base + index * size;
      const entry = table.entries[index] as number;
      const child = table.children?.[index];
      if (child !== undefined) this.#readDirty(child, level - 1, at, first, last, clear, visit);
      if (entry === 0) continue;
      const head = headOf(index, entry);
      const leaf = table.entries[head] as number;
      const behind = head + entriesOf(entry);
      index = behind - 1;
      if ((leaf & DIRTY) === 0) continue;
      if (clear) table.ownEntries[head] = leaf - DIRTY;
      const start = Math.max(at, first);
      visit(start, Math.min(base + behind * size - 1, last) - start + 1);
    }
  }

  /** Give back the root; the table is empty, and nobody walks it any more. */
  destroy(): void {
    freeTables[this.#top === 0 ? 0 : 1].push(this.#root);
  }

  get empty(): boolean {
    return this.#root.used === 0;
  }

  #index(granule: number, level: number): number {
    return (granule / (this.#span[level] as number)) & (ENTRIES - 1);
  }
}

/** How far it is to where a leaf of the next larger size could begin; Infinity where none ever can. */
function untilLarger(granule: number, target: number, larger: number | undefined): number {
  if (larger === undefined || !isMultiple(granule - target, larger)) return Number.POSITIVE_INFINITY;
  return larger - (granule - Math.floor(granule / larger) * larger);
}

const isMultiple = (value: number, size: number): boolean => Math.floor(value / size) * size === value;

function countTables({ children = [] }: Table): number {
  return children.reduce((sum, child) => (child === undefined ? sum : sum + countTables(child)), 1);
}
