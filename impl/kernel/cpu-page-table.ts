/**
 * The page table of a process, as the CPU walks it: three levels of tables, with leaves of 1 GiB, 2 MiB or one page. A
 * table stays, even empty, until the mapping that it was made for goes.
 */
import { looksAt, newIdentity, touches } from './footprint.ts';
import { mappingsChange } from './live.ts';
import { type Pgprot, samePgprot } from './pgprot.ts';
import { warnOn } from './splat.ts';
import { shouldFail } from './thread.ts';
import type { Pfn } from './units.ts';

/** Sizes of a leaf as powers of two of pages: PUD, PMD, PTE. */
export const ORDERS = [18, 9, 0] as const;
export type Order = (typeof ORDERS)[number];

/** A number of a page of a process: address / 4096. */
export type UserPage = number;

/** One leaf: `2 ** order` pages from `page` on show those from `pfn` on. */
export interface Leaf {
  readonly page: UserPage;
  readonly pfn: Pfn;
  readonly order: Order;
  /** How it treats the memory. */
  readonly prot: Pgprot;
}

/** Pages of a process. */
export interface Span {
  readonly first: UserPage;
  readonly last: UserPage;
}

/** By the number of a slot: a page / 2 ** order of the level. */
class Table {
  readonly slots = new Map<number, Table | Leaf>();
}

export const firstOfOrder = (page: UserPage, order: Order): UserPage => page - (page % 2 ** order);

export class CpuPageTable {
  readonly #root = new Table();
  readonly #identity = newIdentity();
  /** All leaves, as long as none comes or goes. */
  #all: readonly Leaf[] | undefined;

  /** What an access to the page reaches; undefined faults. */
  translate(page: UserPage): Pfn | undefined {
    const slot = this.#slot(page, 0);
    return slot === undefined || slot instanceof Table ? undefined : slot.pfn + page - slot.page;
  }

  /** Whether the very leaf is still there. */
  has(leaf: Leaf): boolean {
    return this.#slot(leaf.page, leaf.order) === leaf;
  }

  /** pud_none(), pmd_none(): only then may a leaf of the order come here. */
  isNone(page: UserPage, order: Order): boolean {
    return this.#slot(page, order) === undefined;
  }

  /** What stands in the page's slot of an order, or the larger leaf above it. */
  #slot(page: UserPage, lowest: Order): Table | Leaf | undefined {
    looksAt(this.#identity);
    let table = this.#root;
    for (const order of ORDERS) {
      const slot = table.slots.get(Math.floor(page / 2 ** order));
      if (order === lowest || !(slot instanceof Table)) return slot;
      table = slot;
    }
    return undefined;
  }

  /**
   * vmf_insert_pfn() and its kin: enter a leaf, with the tables above it. What another has entered meanwhile stays; it
   * cannot be a table, because all that fault in one slot find that the same leaf fits.
   * False when a table cannot be had.
   */
  insert(leaf: Leaf): boolean {
    touches(this.#identity);
    let table = this.#root;
    for (const order of ORDERS) {
      const at = Math.floor(leaf.page / 2 ** order);
      const slot = table.slots.get(at);
      if (order === leaf.order || (slot !== undefined && !(slot instanceof Table))) {
        warnOn(slot instanceof Table, 'a leaf comes where a table is');
        if (slot === undefined) {
          table.slots.set(at, leaf);
          this.#change();
        } else if (!(slot instanceof Table)) {
          warnOn(slot.pfn + leaf.page - slot.page !== leaf.pfn, 'a page shows something else already');
          warnOn(!samePgprot(slot.prot, leaf.prot), 'a page treats its memory in another way already');
        }
        return true;
      }
      if (slot === undefined && shouldFail('pte_alloc')) return false;
      const below = slot ?? new Table();
      if (slot === undefined) {
        table.slots.set(at, below);
        this.#change();
      }
      table = below;
    }
    return true;
  }

  /** zap_page_range(): no leaf is left that shows a page of [first, last]. What else a huge one showed goes with it. */
  zap(first: UserPage, last: UserPage): void {
    touches(this.#identity);
    eachLeaf(this.#root, 0, first, last, (_, table, at) => {
      table.slots.delete(at);
      this.#change();
    });
  }

  /** vma_adjust_trans_huge(): no leaf shows both the page and the one before it. */
  splitHuge(page: UserPage): void {
    touches(this.#identity);
    eachLeaf(this.#root, 0, page, page, (leaf, table, at) => {
      if (leaf.page >= page) return;
      table.slots.delete(at);
      this.#change();
    });
  }

  /** free_pgtables(): the tables that lie all in [first, last] go, unless a leaf was left in them. */
  freeTables(first: UserPage, last: UserPage): void {
    touches(this.#identity);
    prune(this.#root, 0, first, last);
    this.#change();
  }

  #change(): void {
    this.#all = undefined;
    mappingsChange();
  }

  /** All leaves, in no order. */
  get all(): readonly Leaf[] {
    looksAt(this.#identity);
    this.#all ??= this.leaves();
    return this.#all;
  }

  /** The leaves that show a page of [first, last], or all, in no order. */
  leaves(first: UserPage = 0, last: UserPage = Number.MAX_SAFE_INTEGER): Leaf[] {
    looksAt(this.#identity);
    const found: Leaf[] = [];
    eachLeaf(this.#root, 0, first, last, (leaf) => found.push(leaf));
    return found;
  }

  /** The pages that each table stands for, besides the root. */
  get tables(): Span[] {
    const found: Span[] = [];
    eachTable(this.#root, 0, (span) => found.push(span));
    return found;
  }
}

/** Visit the leaves below a table of a level that show a page of [first, last], with where they stand. */
function eachLeaf(
  table: Table,
  level: number,
  first: UserPage,
  last: UserPage,
  visit: (leaf: Leaf, table: Table, at: number) => void,
): void {
  const size = 2 ** (ORDERS[level] as Order);
  for (const [at, slot] of table.slots) {
    if ((at + 1) * size <= first || last < at * size) continue;
    if (slot instanceof Table) eachLeaf(slot, level + 1, first, last, visit);
    else visit(slot, table, at);
  }
}

function prune(table: Table, level: number, first: UserPage, last: UserPage): void {
  const size = 2 ** (ORDERS[level] as Order);
  for (const [at, slot] of table.slots) {
    if (!(slot instanceof Table) || (at + 1) * size <= first || last < at * size) continue;
    prune(slot, level + 1, first, last);
    if (slot.slots.size === 0 && first <= at * size && (at + 1) * size <= last + 1) table.slots.delete(at);
  }
}

function eachTable(table: Table, level: number, visit: (span: Span) => void): void {
  const size = 2 ** (ORDERS[level] as Order);
  for (const [at, slot] of table.slots) {
    if (!(slot instanceof Table)) continue;
    visit({ first: at * size, last: (at + 1) * size - 1 });
    eachTable(slot, level + 1, visit);
  }
}
