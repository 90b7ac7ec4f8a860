/**
 * An ordered tree of intervals [start, last], which may overlap unless its user forbids it. Balanced (AVL), so that
 * every operation costs the logarithm of its size, and augmented with the reach of left subtrees and the widest gaps.
 *
 * Of ten thousand nodes most are out of the processor's cache, and what an operation costs is how many it looks at. So
 * a search looks at those on its way and at none beside it, and a change only where the tree may come to lean.
 */
import { type Half, highOf, LOWEST, lowOf, wholeOf } from './halves.ts';
import { gapBetween, rankOf, unitsOf, widestGap } from './interval-gaps.ts';
import { less, min, next, previous, type U64 } from './units.ts';

/**
 * Membership of one tree: what is kept in a tree extends it, as kernel structures embed a node. What a search compares
 * stands in the node itself. All that changes here belongs to the tree.
 */
export abstract class IntervalNode {
  left: IntervalNode | undefined;
  right: IntervalNode | undefined;
  readonly startHigh: Half;
  readonly startLow: Half;
  readonly lastHigh: Half;
  readonly lastLow: Half;
  /** The highest last of the left subtree, if there is one. */
  leftHigh: Half = 0;
  leftLow: Half = 0;
  /** The lowest start of this subtree. */
  firstHigh: Half;
  firstLow: Half;
  height = 1;
  /** The widest gap between neighbours in this subtree, by rank of alignment; forgotten when the subtree changes. */
  gaps: (number | undefined)[] | undefined;
  /** Keeps intervals that start together in the order in which they came. */
  serial = 0;

  constructor(start: U64, last: U64) {
    this.startHigh = highOf(start);
    this.startLow = lowOf(start);
    this.lastHigh = highOf(last);
    this.lastLow = lowOf(last);
    this.firstHigh = this.startHigh;
    this.firstLow = this.startLow;
  }

  get start(): U64 {
    return wholeOf(this.startHigh, this.startLow);
  }

  get last(): U64 {
    return wholeOf(this.lastHigh, this.lastLow);
  }
}

type Node = IntervalNode;

/** A 64-bit value as nodes hold it. */
interface Key {
  readonly high: Half;
  readonly low: Half;
}

const key = (at: U64): Key => ({ high: highOf(at), low: lowOf(at) });

/** a < b, each in its halves. */
const below = (aHigh: Half, aLow: Half, bHigh: Half, bLow: Half): boolean =>
  aHigh !== bHigh ? aHigh < bHigh : aLow < bLow;

/** Whether the left subtree has nothing from `at` on. */
const leftEndsBefore = (node: Node, at: Key): boolean =>
  node.left === undefined || below(node.leftHigh, node.leftLow, at.high, at.low);
const startsAfter = (node: Node, at: Key): boolean => below(at.high, at.low, node.startHigh, node.startLow);
const liesBefore = (node: Node, at: Key): boolean => below(node.lastHigh, node.lastLow, at.high, at.low);

export class IntervalTree<T extends IntervalNode> {
  #root: Node | undefined;
  #serial = 0;
  #size = 0;
  #all: readonly T[] | undefined;

  get size(): number {
    return this.#size;
  }

  insert(node: T): void {
    node.serial = this.#serial++;
    node.right = undefined;
    beginWith(node, undefined);
    measure(node);
    this.#root = insertInto(this.#root, node);
    this.#size++;
    this.#all = undefined;
  }

  /** Take out a node that is in this tree. */
  remove(node: T): void {
    this.#root = removeFrom(this.#root as Node, node);
    this.#size--;
    this.#all = undefined;
  }

  /** The lowest interval that shares a byte with [start, last]. */
  first(start: U64, last: U64): T | undefined {
    return lowest(this.#root, key(start), key(last)) as T | undefined;
  }

  /** All intervals that share a byte with [start, last], ascending. */
  overlapping(start: U64, last: U64): T[] {
    const found: Node[] = [];
    collect(this.#root, key(start), key(last), found);
    return found as T[];
  }

  /** All intervals, ascending; the same list for as long as they are the same. */
  all(): readonly T[] {
    if (this.#all !== undefined) return this.#all;
    const found: Node[] = [];
    appendAll(this.#root, found);
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
    let free: U64 | undefined = from;
    let answer: R | undefined;
    const visit = (tree: Node | undefined): boolean => {
      if (tree === undefined || free === undefined) return false;
      const before = gapBetween(highOf(free), lowOf(free), tree.firstHigh, tree.firstLow, rank);
      if (before < wanted && widestGap(tree, rank) < wanted) {
        const { lastHigh, lastLow } = rightmost(tree);
        if (!less(wholeOf(lastHigh, lastLow), free)) free = next(wholeOf(lastHigh, lastLow));
        return false;
      }
      if (!leftEndsBefore(tree, key(free)) && visit(tree.left)) return true;
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

function insertInto(tree: Node | undefined, node: Node): Node {
  if (tree === undefined) return node;
  const { left, right } = tree;
  const onLeft = startsBefore(node, tree);
  const height = heightOf(onLeft ? left : right);
  const grown = insertInto(onLeft ? left : right, node);
  if (onLeft) {
    beginWith(tree, grown);
    if (left === undefined) reachOfLeft(tree);
    else reachTo(tree, node.lastHigh, node.lastLow);
  } else {
    tree.right = grown;
  }
  tree.gaps = undefined;
  return grown.height === height ? tree : balance(tree);
}

function removeFrom(tree: Node, node: Node): Node | undefined {
  if (tree === node) return joined(tree);
  const { left, right } = tree;
  const onLeft = precedes(node, tree);
  const height = heightOf(onLeft ? left : right);
  const shrunk = removeFrom((onLeft ? left : right) as Node, node);
  if (onLeft) {
    beginWith(tree, shrunk);
    if (node.lastLow === tree.leftLow && node.lastHigh === tree.leftHigh) reachOfLeft(tree);
  } else {
    tree.right = shrunk;
  }
  tree.gaps = undefined;
  return heightOf(shrunk) === height ? tree : balance(tree);
}

/** What is left of a subtree without its root. */
function joined({ left, right }: Node): Node | undefined {
  if (left === undefined) return right;
  if (right === undefined) return left;
  const successor = leftmost(right);
  successor.right = removeFrom(right, successor);
  beginWith(successor, left);
  reachOfLeft(successor);
  return balance(successor);
}

const startsBefore = (a: Node, b: Node): boolean => below(a.startHigh, a.startLow, b.startHigh, b.startLow);

const precedes = (a: Node, b: Node): boolean => startsBefore(a, b) || (!startsBefore(b, a) && a.serial < b.serial);

function leftmost(tree: Node): Node {
  let at = tree;
  while (at.left !== undefined) at = at.left;
  return at;
}

function rightmost(tree: Node): Node {
  let at = tree;
  while (at.right !== undefined) at = at.right;
  return at;
}

const heightOf = (tree: Node | undefined): number => (tree === undefined ? 0 : tree.height);

/** Another left subtree, with which the whole begins; how far it reaches is to be said as well. */
function beginWith(tree: Node, left: Node | undefined): void {
  tree.left = left;
  tree.firstHigh = left === undefined ? tree.startHigh : left.firstHigh;
  tree.firstLow = left === undefined ? tree.startLow : left.firstLow;
}

/** How far the left subtree reaches, found out anew: every other subtree of it is the left one of some node. */
function reachOfLeft(tree: Node): void {
  tree.leftHigh = LOWEST;
  tree.leftLow = LOWEST;
  for (let at = tree.left; at !== undefined; at = at.right) {
    if (at.left !== undefined) reachTo(tree, at.leftHigh, at.leftLow);
    reachTo(tree, at.lastHigh, at.lastLow);
  }
}

/** The left subtree reaches so far at least. */
function reachTo(tree: Node, high: Half, low: Half): void {
  if (!below(tree.leftHigh, tree.leftLow, high, low)) return;
  tree.leftHigh = high;
  tree.leftLow = low;
}

function balance(tree: Node): Node {
  const { left, right } = tree;
  const lean = heightOf(left) - heightOf(right);
  if (lean > 1) {
    if (heightOf(left?.left) < heightOf(left?.right)) tree.left = rotateLeft(left as Node);
    return rotateRight(tree);
  }
  if (lean < -1) {
    if (heightOf(right?.right) < heightOf(right?.left)) tree.right = rotateRight(right as Node);
    return rotateLeft(tree);
  }
  measure(tree);
  return tree;
}

function measure(tree: Node): void {
  tree.height = 1 + Math.max(heightOf(tree.left), heightOf(tree.right));
  tree.gaps = undefined;
}

function rotateLeft(tree: Node): Node {
  const top = tree.right as Node;
  tree.right = top.left;
  measure(tree);
  beginWith(top, tree);
  reachOfLeft(top);
  measure(top);
  return top;
}

function rotateRight(tree: Node): Node {
  const top = tree.left as Node;
  beginWith(tree, top.right);
  reachOfLeft(tree);
  measure(tree);
  top.right = tree;
  measure(top);
  return top;
}

function lowest(tree: Node | undefined, start: Key, last: Key): Node | undefined {
  let at = tree;
  while (at !== undefined) {
    if (!leftEndsBefore(at, start)) at = at.left;
    else if (startsAfter(at, last)) return undefined;
    else if (!liesBefore(at, start)) return at;
    else at = at.right;
  }
  return undefined;
}

function collect(tree: Node | undefined, start: Key, last: Key, found: Node[]): void {
  if (tree === undefined) return;
  if (!leftEndsBefore(tree, start)) collect(tree.left, start, last, found);
  if (startsAfter(tree, last)) return;
  if (!liesBefore(tree, start)) found.push(tree);
  collect(tree.right, start, last, found);
}

function appendAll(tree: Node | undefined, found: Node[]): void {
  if (tree === undefined) return;
  appendAll(tree.left, found);
  found.push(tree);
  appendAll(tree.right, found);
}
