/** The nodes of an interval tree. */
import { below, type Half, LOWEST } from './halves.ts';
import type { IntervalNode } from './interval-tree.ts';

/** An interval, or a node, which is as long as all in it together. */
export type Entry = IntervalNode | WideNode;

/** The most entries of a node. One with fewer than a quarter of that joins a neighbour. */
const WIDTH = 16;
const FEW = WIDTH / 4;
/** Copied, not written out: literals that outlive a collection make the engine put all of their kind among the old. */
const OF_TWO: readonly Half[] = [LOWEST, LOWEST, LOWEST, LOWEST];

/**
 * A node: its entries in the order of their starts, and of each where it starts, and how far it or any before it in
 * this node reaches. Both ascend, even where intervals overlap; so a search halves them.
 */
export class WideNode {
  /** How many levels lie below. On the lowest, entries are intervals; on the others, they are nodes. */
  readonly level: number;
  readonly entries: Entry[];
  /** Two places for each entry, of which there are two at least: the high half, and then the low one. */
  readonly starts: Half[] = OF_TWO.slice();
  readonly reaches: Half[] = OF_TWO.slice();
  /** The widest gap between neighbours in this subtree, by rank of alignment; forgotten when the subtree changes. */
  gaps: (number | undefined)[] | undefined;

  constructor(level: number, entries: Entry[]) {
    this.level = level;
    this.entries = entries;
    this.#measure(0);
  }

  get startHigh(): Half {
    return this.starts[0] as Half;
  }

  get startLow(): Half {
    return this.starts[1] as Half;
  }

  get lastHigh(): Half {
    return this.reaches[this.reaches.length - 2] as Half;
  }

  get lastLow(): Half {
    return this.reaches[this.reaches.length - 1] as Half;
  }

  /** Whether entry `at` starts behind that. */
  startsBehind(at: number, high: Half, low: Half): boolean {
    return below(high, low, this.starts[2 * at] as Half, this.starts[2 * at + 1] as Half);
  }

  /** The first entry that reaches so far; as many as there are, when none does. */
  firstReaching(high: Half, low: Half): number {
    return countBelow(this.reaches, high, low);
  }

  /** The intervals of this subtree that share a byte with those from the first to the last, ascending. */
  overlapping(high: Half, low: Half, lastHigh: Half, lastLow: Half): Entry[] {
    const { entries, level } = this;
    const from = this.firstReaching(high, low);
    let to = from;
    while (to < entries.length && !this.startsBehind(to, lastHigh, lastLow)) to++;
    if (level > 0 && to === from + 1) return (entries[from] as WideNode).overlapping(high, low, lastHigh, lastLow);
    // A slice has the room that it needs; a list that grows makes room for many.
    const found = entries.slice(from, to);
    return level === 0 ? reaching(found, high, low) : inAll(found as WideNode[], high, low, lastHigh, lastLow);
  }

  /** Put an interval into this subtree. A node that gets too wide is split, and its upper half is the answer. */
  insert(node: IntervalNode): WideNode | undefined {
    const { startHigh, startLow } = node;
    let at = countBelow(this.starts, startHigh, startLow);
    while (at < this.entries.length && !this.startsBehind(at, startHigh, startLow)) at++;
    if (this.level === 0) this.#put(at, node);
    else this.#insertInto(Math.max(at - 1, 0), node);
    this.gaps = undefined;
    return this.entries.length > WIDTH ? this.#split() : undefined;
  }

  #insertInto(at: number, node: IntervalNode): void {
    const split = (this.entries[at] as WideNode).insert(node);
    if (split === undefined) {
      this.#startAt(at);
      this.#reachTo(at, node);
    } else {
      this.#put(at + 1, split);
      this.#measure(at);
    }
  }

  /** Take an interval out of this subtree; false when it is not there. */
  remove(node: IntervalNode): boolean {
    const { startHigh, startLow } = node;
    let at = countBelow(this.starts, startHigh, startLow);
    if (this.level === 0) {
      at = this.entries.indexOf(node, at);
      if (at < 0) return false;
      this.#cut(at);
    } else {
      at = Math.max(at - 1, 0);
      // Those that start together may lie in several nodes.
      while (!(this.entries[at] as WideNode).remove(node)) {
        at++;
        if (at === this.entries.length || this.startsBehind(at, startHigh, startLow)) return false;
      }
      this.#startAt(at);
    }
    this.#reachWithout(at, node);
    if (this.level > 0 && (this.entries[at] as WideNode).entries.length < FEW) this.#join(Math.max(at - 1, 0));
    this.gaps = undefined;
    return true;
  }

  /** The nodes at `at` and behind it become one, or two of a length. */
  #join(at: number): void {
    const [lower, upper] = [this.entries[at] as WideNode, this.entries[at + 1] as WideNode];
    this.#cut(at + 1);
    for (const entry of upper.entries) lower.#put(lower.entries.length, entry);
    lower.gaps = undefined;
    if (lower.entries.length > WIDTH) this.#put(at + 1, lower.#split());
    this.#measure(at);
  }

  /** Keep the lower half of the entries; the others are in the new node. */
  #split(): WideNode {
    const half = this.entries.length >> 1;
    const upper = this.entries.splice(half);
    this.starts.length = 2 * half;
    this.reaches.length = 2 * half;
    return new WideNode(this.level, upper);
  }

  #put(at: number, entry: Entry): void {
    makeRoom(this.entries, at, entry);
    makeRoomForTwo(this.starts, at);
    makeRoomForTwo(this.reaches, at);
    this.entries[at] = entry;
    this.#startAt(at);
    this.#reachAt(at);
    this.#reachTo(at + 1, entry);
  }

  #cut(at: number): void {
    closeUp(this.entries, at);
    closeUpTwo(this.starts, at);
    closeUpTwo(this.reaches, at);
  }

  /** Say where entry `at` starts. */
  #startAt(at: number): void {
    const { startHigh, startLow } = this.entries[at] as Entry;
    this.starts[2 * at] = startHigh;
    this.starts[2 * at + 1] = startLow;
  }

  /** Say how far entry `at` reaches, or any before it. */
  #reachAt(at: number): void {
    const { reaches } = this;
    let { lastHigh, lastLow } = this.entries[at] as Entry;
    if (at > 0 && below(lastHigh, lastLow, reaches[2 * at - 2] as Half, reaches[2 * at - 1] as Half)) {
      lastHigh = reaches[2 * at - 2] as Half;
      lastLow = reaches[2 * at - 1] as Half;
    }
    reaches[2 * at] = lastHigh;
    reaches[2 * at + 1] = lastLow;
  }

  /** From `at` on, all reach as far as `entry` at least. */
  #reachTo(from: number, { lastHigh, lastLow }: Entry): void {
    const { reaches } = this;
    for (let i = 2 * from; i < reaches.length; i += 2) {
      if (!below(reaches[i] as Half, reaches[i + 1] as Half, lastHigh, lastLow)) return;
      reaches[i] = lastHigh;
      reaches[i + 1] = lastLow;
    }
  }

  /** From `at` on, those that reach just as far as `gone` may have done so because of it. */
  #reachWithout(from: number, { lastHigh, lastLow }: Entry): void {
    const { reaches } = this;
    for (let at = from; reaches[2 * at] === lastHigh && reaches[2 * at + 1] === lastLow; at++) this.#reachAt(at);
  }

  /** Say all of the entries from `at` on. */
  #measure(from: number): void {
    for (let at = from; at < this.entries.length; at++) {
      this.#startAt(at);
      this.#reachAt(at);
    }
  }
}

const inAll = (nodes: readonly WideNode[], high: Half, low: Half, lastHigh: Half, lastLow: Half): Entry[] =>
  nodes.flatMap((node) => node.overlapping(high, low, lastHigh, lastLow));

/** Keep those that reach so far: all, unless intervals overlap. */
function reaching(found: Entry[], high: Half, low: Half): Entry[] {
  let kept = 0;
  for (const entry of found) if (!below(entry.lastHigh, entry.lastLow, high, low)) found[kept++] = entry;
  if (kept < found.length) found.length = kept;
  return found;
}

/** How many of the values in two places each, which ascend, are below another. */
function countBelow(pairs: readonly Half[], high: Half, low: Half): number {
  let from = 0;
  let to = pairs.length >> 1;
  while (from < to) {
    const middle = (from + to) >> 1;
    if (below(pairs[2 * middle] as Half, pairs[2 * middle + 1] as Half, high, low)) from = middle + 1;
    else to = middle;
  }
  return from;
}

/**
 * Room for one entry more at `at`: `splice`, but without a list of what goes. Entries and halves have functions of
 * their own, as have all of which the engine shall know that they are small integers.
 */
function makeRoom(entries: Entry[], at: number, entry: Entry): void {
  entries.push(entry);
  for (let i = entries.length - 1; i > at; i--) entries[i] = entries[i - 1] as Entry;
}

/** The reverse. */
function closeUp(entries: Entry[], at: number): void {
  for (let i = at + 1; i < entries.length; i++) entries[i - 1] = entries[i] as Entry;
  entries.pop();
}

/** The same of the two places of an entry. */
function makeRoomForTwo(halves: Half[], at: number): void {
  halves.push(LOWEST, LOWEST);
  for (let i = halves.length - 1; i > 2 * at + 1; i--) halves[i] = halves[i - 2] as Half;
}

function closeUpTwo(halves: Half[], at: number): void {
  for (let i = 2 * at + 2; i < halves.length; i++) halves[i - 2] = halves[i] as Half;
  halves.pop();
  halves.pop();
}
