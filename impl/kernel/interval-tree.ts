/**
 * An ordered tree of intervals [start, last], which may overlap unless its user forbids it. Balanced (a B-tree), so
 * that every operation costs the logarithm of its size, and augmented with how far intervals reach, and with the widest
 * gaps.
 *
 * Of ten thousand intervals most are out of the processor's cache, and what an operation costs is how many places it
 * looks at. So the tree has few nodes, which are wide, and a search looks at no interval but the one that it finds. A
 * tree of one interval, as most are, is that interval.
 */
import { below, type Half, highOf, lowOf, wholeOf } from './halves.ts';
import { gapBetween, rankOf, unitsOf, widestGap } from './interval-gaps.ts';
import { type Entry, WideNode } from './interval-node.ts';
import { add, min, ONE, previous, type U64 } from './units.ts';

/** What is kept in a tree extends it, as kernel structures embed a node. */
export abstract class IntervalNode {
  // Only declared: of objects of so many classes, to define a field takes the engine as long as to set it.
  declare readonly startHigh: Half;
  declare readonly startLow: Half;
  declare readonly lastHigh: Half;
  declare readonly lastLow: Half;

  constructor(start: U64, last: U64) {
    this.startHigh = highOf(start);
    this.startLow = lowOf(start);
    this.lastHigh = highOf(last);
    this.lastLow = lowOf(last);
  }

  get start(): U64 {
    return wholeOf(this.startHigh, this.startLow);
  }

  get last(): U64 {
    return wholeOf(this.lastHigh, this.lastLow);
  }
}

export class IntervalTree<T extends IntervalNode> {
  /** An interval where there are no levels of nodes. */
  #root: Entry | undefined;
  #levels = 0;
  #size = 0;
  #all: readonly T[] | undefined;

  get size(): number {
    return this.#size;
  }

  /** For observers. */
  get root(): Entry | undefined {
    return this.#root;
  }

  /** It comes behind those that start where it does. */
  insert(node: T): void {
    this.#all = undefined;
    this.#size++;
    if (this.#root === undefined) {
      this.#root = node;
      return;
    }
    if (this.#levels === 0) {
      const single = this.#root as T;
      const isFirst = below(node.startHigh, node.startLow, single.startHigh, single.startLow);
      this.#raise(isFirst ? [node, single] : [single, node]);
      return;
    }
    const root = this.#root as WideNode;
    const split = root.insert(node);
    if (split !== undefined) this.#raise([root, split]);
  }

  #raise(entries: [Entry, Entry]): void {
    this.#root = new WideNode(this.#levels, entries);
    this.#levels++;
  }

  /** Take out a node that is in this tree. */
  remove(node: T): void {
    this.#all = undefined;
    this.#size--;
    if (this.#levels === 0) {
      this.#root = undefined;
      return;
    }
    const root = this.#root as WideNode;
    root.remove(node);
    if (root.entries.length > 1) return;
    this.#root = root.entries[0];
    this.#levels--;
  }

  /** The lowest interval that shares a byte with [start, last]. */
  first(start: U64, last: U64): T | undefined {
    const high = highOf(start);
    const low = lowOf(start);
    const lastHigh = highOf(last);
    const lastLow = lowOf(last);
    let at = this.#root;
    for (let level = this.#levels; level > 0; level--) {
      const node = at as WideNode;
      const place = node.firstReaching(high, low);
      if (place === node.entries.length || node.startsBehind(place, lastHigh, lastLow)) return undefined;
      at = node.entries[place];
    }
    return at !== undefined && meets(at, high, low, lastHigh, lastLow) ? (at as T) : undefined;
  }

  /** All intervals that share a byte with [start, last], ascending. */
  overlapping(start: U64, last: U64): T[] {
    const root = this.#root;
    if (root === undefined) return [];
    const high = highOf(start);
    const low = lowOf(start);
    const lastHigh = highOf(last);
    const lastLow = lowOf(last);
    if (this.#levels > 0) return (root as WideNode).overlapping(high, low, lastHigh, lastLow) as T[];
    return meets(root, high, low, lastHigh, lastLow) ? [root as T] : [];
  }

  /** How many intervals share a byte with that one, which may be in this tree or in another. */
  countMeeting(other: IntervalNode): number {
    return this.#root === undefined ? 0 : countMeeting(this.#root, this.#levels, other);
  }

  /** All intervals, ascending; the same list for as long as they are the same. */
  all(): readonly T[] {
    if (this.#all !== undefined) return this.#all;
    const found: Entry[] = [];
    if (this.#root !== undefined) appendAll(this.#root, this.#levels, found);
    this.#all = found as T[];
    return this.#all;
  }

  /**
   * The lowest gap between the intervals inside [from, to] that `place` takes; it is offered each, ascending, until it
   * answers. Gaps in which `length` bytes from a multiple of `align` on surely do not fit are passed over. The
   * intervals must not overlap.
   * Units: align in bytes, a power of two of at most 2 MiB
   */
  lowestGap<R>(
    from: U64,
    to: U64,
    length: U64,
    align: number,
    place: (start: U64, last: U64) => R | undefined,
  ): R | undefined {
    const wanted = unitsOf(length);
    const rank = rankOf(align);
    // What is free begins here. The low half may be one after the highest.
    let high = highOf(from);
    let low: number = lowOf(from);
    let isFrom = true;
    const [toHigh, toLow] = [highOf(to), lowOf(to)];
    let answer: R | undefined;
    const free = (): U64 => (isFrom ? from : add(wholeOf(high, low - 1), ONE));
    /** Look before an entry, and, if it is a node, inside; then go on behind it. Whether that is the end. */
    const visit = (start: Half, startLow: Half, last: Half, lastLow: Half, node: WideNode | undefined): boolean => {
      if (below(toHigh, toLow, high, low)) return true;
      const fits = gapBetween(high, low, start, startLow, rank) >= wanted;
      if (fits && below(high, low, start, startLow))
        answer = place(free(), min(to, previous(wholeOf(start, startLow))));
      if (answer !== undefined) return true;
      if (node !== undefined && widestGap(node, rank) >= wanted && visitAll(node)) return true;
      if (below(last, lastLow, high, low)) return false;
      high = last;
      low = lastLow + 1;
      isFrom = false;
      return false;
    };
    const visitAll = ({ level, entries, starts, reaches }: WideNode): boolean => {
      for (let at = 0; at < entries.length; at++) {
        const node = level > 0 ? (entries[at] as WideNode) : undefined;
        const start = starts[2 * at] as Half;
        const startLow = starts[2 * at + 1] as Half;
        if (visit(start, startLow, reaches[2 * at] as Half, reaches[2 * at + 1] as Half, node)) return true;
      }
      return false;
    };
    const root = this.#root;
    if (this.#levels > 0) visitAll(root as WideNode);
    else if (root !== undefined) visit(root.startHigh, root.startLow, root.lastHigh, root.lastLow, undefined);
    return answer !== undefined || below(toHigh, toLow, high, low) ? answer : place(free(), to);
  }
}

/** Whether an interval shares a byte with [start, last]. */
const meets = (entry: Entry, high: Half, low: Half, lastHigh: Half, lastLow: Half): boolean =>
  !below(entry.lastHigh, entry.lastLow, high, low) && !below(lastHigh, lastLow, entry.startHigh, entry.startLow);

function countMeeting(entry: Entry, level: number, other: IntervalNode): number {
  const { startHigh, startLow, lastHigh, lastLow } = other;
  if (level === 0) return meets(entry, startHigh, startLow, lastHigh, lastLow) ? 1 : 0;
  const node = entry as WideNode;
  let count = 0;
  for (let at = node.firstReaching(startHigh, startLow); at < node.entries.length; at++) {
    if (node.startsBehind(at, lastHigh, lastLow)) break;
    count += countMeeting(node.entries[at] as Entry, level - 1, other);
  }
  return count;
}

function appendAll(entry: Entry, level: number, found: Entry[]): void {
  if (level === 0) found.push(entry);
  else for (const each of (entry as WideNode).entries) appendAll(each, level - 1, found);
}
