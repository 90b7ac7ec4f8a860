/**
 * An ordered tree of intervals [start, last], which may overlap unless its user forbids it. Balanced (AVL), so that
 * every operation costs the logarithm of its size, and augmented with each subtree's reach and widest gaps.
 */
import { gapBetween, PART, rankOf, unitsOf, widestGap } from './interval-gaps.ts';
import { less, min, next, previous, type U64, u64 } from './units.ts';

/**
 * Membership of one tree; the owner embeds it, as kernel structures embed a node. What a descent compares stands in the
 * node itself: a page's upper and lower part, and the byte in the page.
 */
export class IntervalNode<T> {
  readonly start: U64;
  readonly last: U64;
  readonly owner: T;
  readonly startHigh: number;
  readonly startLow: number;
  readonly startByte: number;
  readonly lastHigh: number;
  readonly lastLow: number;
  readonly lastByte: number;
  left: IntervalNode<T> | undefined;
  right: IntervalNode<T> | undefined;
  height = 1;
  /** The lowest start, and the highest last, in this subtree. */
  firstHigh: number;
  firstLow: number;
  firstByte: number;
  reachHigh: number;
  reachLow: number;
  reachByte: number;
  /** The widest gap between neighbours in this subtree, by rank of alignment; forgotten when the subtree changes. */
  gaps: (number | undefined)[] | undefined;
  /** Keeps intervals that start together in the order in which they came. */
  serial = 0;

  constructor(start: U64, last: U64, owner: T) {
    this.start = start;
    this.last = last;
    this.owner = owner;
    this.startHigh = high(start);
    this.startLow = low(start);
    this.startByte = start.byte;
    this.lastHigh = high(last);
    this.lastLow = low(last);
    this.lastByte = last.byte;
    this.firstHigh = this.startHigh;
    this.firstLow = this.startLow;
    this.firstByte = this.startByte;
    this.reachHigh = this.lastHigh;
    this.reachLow = this.lastLow;
    this.reachByte = this.lastByte;
  }
}

type Node<T> = IntervalNode<T>;

const high = ({ page }: U64): number => Math.floor(page / PART);
const low = ({ page }: U64): number => page - Math.floor(page / PART) * PART;

/** a < b, each in its three parts. */
function below(aHigh: number, aLow: number, aByte: number, bHigh: number, bLow: number, bByte: number): boolean {
  if (aHigh !== bHigh) return aHigh < bHigh;
  return aLow !== bLow ? aLow < bLow : aByte < bByte;
}

/** Whether the subtree ends before `at`. */
const endsBefore = <T>(tree: Node<T>, at: Key): boolean =>
  below(tree.reachHigh, tree.reachLow, tree.reachByte, at.high, at.low, at.byte);
const startsAfter = <T>(node: Node<T>, at: Key): boolean =>
  below(at.high, at.low, at.byte, node.startHigh, node.startLow, node.startByte);
const liesBefore = <T>(node: Node<T>, at: Key): boolean =>
  below(node.lastHigh, node.lastLow, node.lastByte, at.high, at.low, at.byte);

/** A 64-bit value in the parts that nodes compare. */
interface Key {
  readonly high: number;
  readonly low: number;
  readonly byte: number;
}

const key = (at: U64): Key => ({ high: high(at), low: low(at), byte: at.byte });

export class IntervalTree<T> {
  #root: Node<T> | undefined;
  #serial = 0;
  #size = 0;
  #all: readonly T[] | undefined;

  get size(): number {
    return this.#size;
  }

  insert(node: Node<T>): void {
    node.serial = this.#serial++;
    node.left = undefined;
    node.right = undefined;
    update(node);
    this.#root = insertInto(this.#root, node);
    this.#size++;
    this.#all = undefined;
  }

  /** Take out a node that is in this tree. */
  remove(node: Node<T>): void {
    this.#root = removeFrom(this.#root as Node<T>, node);
    this.#size--;
    this.#all = undefined;
  }

  /** The lowest interval that shares a byte with [start, last]. */
  first(start: U64, last: U64): T | undefined {
    return this.#root && lowest(this.#root, key(start), key(last))?.owner;
  }

  /** All intervals that share a byte with [start, last], ascending. */
  overlapping(start: U64, last: U64): T[] {
    const found: T[] = [];
    if (this.#root !== undefined) collect(this.#root, key(start), key(last), found);
    return found;
  }

  /** All intervals, ascending; the same list for as long as they are the same. */
  all(): readonly T[] {
    if (this.#all !== undefined) return this.#all;
    const found: T[] = [];
    if (this.#root !== undefined) appendAll(this.#root, found);
    this.#all = found;
    return found;
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
    let free: U64 | undefined = from;
    let answer: R | undefined;
    const visit = (tree: Node<T> | undefined): boolean => {
      if (tree === undefined || free === undefined || endsBefore(tree, key(free))) return false;
      const { firstHigh, firstLow, firstByte } = tree;
      const before = gapBetween(high(free), low(free), free.byte, firstHigh, firstLow, firstByte, rank);
      if (before < wanted && widestGap(tree, rank) < wanted) {
        free = next(reachOf(tree));
        return false;
      }
      if (visit(tree.left)) return true;
      if (free === undefined || less(to, free)) return true;
      if (less(free, tree.start)) answer = place(free, min(to, previous(tree.start)));
      if (answer !== undefined) return true;
      if (!less(tree.last, free)) free = next(tree.last);
      return visit(tree.right);
    };
    if (visit(this.#root) || free === undefined || less(to, free)) return answer;
    return place(free, to);
  }
}

function insertInto<T>(tree: Node<T> | undefined, node: Node<T>): Node<T> {
  if (tree === undefined) return node;
  if (startsBefore(node, tree)) tree.left = insertInto(tree.left, node);
  else tree.right = insertInto(tree.right, node);
  return balance(tree);
}

function removeFrom<T>(tree: Node<T>, node: Node<T>): Node<T> | undefined {
  if (tree === node) {
    if (tree.left === undefined) return tree.right;
    if (tree.right === undefined) return tree.left;
    const successor = leftmost(tree.right);
    const right = removeFrom(tree.right, successor);
    successor.left = tree.left;
    successor.right = right;
    return balance(successor);
  }
  if (precedes(node, tree)) tree.left = removeFrom(tree.left as Node<T>, node);
  else tree.right = removeFrom(tree.right as Node<T>, node);
  return balance(tree);
}

const startsBefore = <T>(a: Node<T>, b: Node<T>): boolean =>
  below(a.startHigh, a.startLow, a.startByte, b.startHigh, b.startLow, b.startByte);

const precedes = <T>(a: Node<T>, b: Node<T>): boolean =>
  startsBefore(a, b) || (!startsBefore(b, a) && a.serial < b.serial);

function leftmost<T>(tree: Node<T>): Node<T> {
  let at = tree;
  while (at.left !== undefined) at = at.left;
  return at;
}

const heightOf = <T>(tree: Node<T> | undefined): number => (tree === undefined ? 0 : tree.height);

/** The highest last of a subtree. */
const reachOf = <T>(tree: Node<T>): U64 => u64(tree.reachHigh * PART + tree.reachLow, tree.reachByte);

function update<T>(tree: Node<T>): void {
  const { left, right } = tree;
  tree.height = 1 + Math.max(heightOf(left), heightOf(right));
  tree.firstHigh = tree.startHigh;
  tree.firstLow = tree.startLow;
  tree.firstByte = tree.startByte;
  tree.reachHigh = tree.lastHigh;
  tree.reachLow = tree.lastLow;
  tree.reachByte = tree.lastByte;
  tree.gaps = undefined;
  if (left !== undefined) {
    tree.firstHigh = left.firstHigh;
    tree.firstLow = left.firstLow;
    tree.firstByte = left.firstByte;
    extend(tree, left);
  }
  if (right !== undefined) extend(tree, right);
}

/** The subtree reaches as far as its child does. */
function extend<T>(tree: Node<T>, child: Node<T>): void {
  const { reachHigh, reachLow, reachByte } = child;
  if (!below(tree.reachHigh, tree.reachLow, tree.reachByte, reachHigh, reachLow, reachByte)) return;
  tree.reachHigh = reachHigh;
  tree.reachLow = reachLow;
  tree.reachByte = reachByte;
}

function balance<T>(tree: Node<T>): Node<T> {
  const lean = heightOf(tree.left) - heightOf(tree.right);
  if (lean > 1) {
    const left = tree.left as Node<T>;
    if (heightOf(left.left) < heightOf(left.right)) tree.left = rotateLeft(left);
    return rotateRight(tree);
  }
  if (lean < -1) {
    const right = tree.right as Node<T>;
    if (heightOf(right.right) < heightOf(right.left)) tree.right = rotateRight(right);
    return rotateLeft(tree);
  }
  update(tree);
  return tree;
}

function rotateLeft<T>(tree: Node<T>): Node<T> {
  const top = tree.right as Node<T>;
  tree.right = top.left;
  top.left = tree;
  update(tree);
  update(top);
  return top;
}

function rotateRight<T>(tree: Node<T>): Node<T> {
  const top = tree.left as Node<T>;
  tree.left = top.right;
  top.right = tree;
  update(tree);
  update(top);
  return top;
}

function lowest<T>(tree: Node<T>, start: Key, last: Key): Node<T> | undefined {
  let at: Node<T> | undefined = tree;
  while (at !== undefined && !endsBefore(at, start)) {
    if (at.left !== undefined && !endsBefore(at.left, start)) at = at.left;
    else if (startsAfter(at, last)) return undefined;
    else if (!liesBefore(at, start)) return at;
    else at = at.right;
  }
  return undefined;
}

function collect<T>(tree: Node<T>, start: Key, last: Key, found: T[]): void {
  if (endsBefore(tree, start)) return;
  if (tree.left !== undefined) collect(tree.left, start, last, found);
  if (startsAfter(tree, last)) return;
  if (!liesBefore(tree, start)) found.push(tree.owner);
  if (tree.right !== undefined) collect(tree.right, start, last, found);
}

function appendAll<T>({ left, owner, right }: Node<T>, found: T[]): void {
  if (left !== undefined) appendAll(left, found);
  found.push(owner);
  if (right !== undefined) appendAll(right, found);
}
