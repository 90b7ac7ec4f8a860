/**
 * An ordered tree of intervals [start, last], which may overlap unless its user forbids it. Balanced (AVL), so that
 * every operation costs the logarithm of its size, and augmented with each subtree's reach and widest gap.
 */
import { atMost, less, min, next, PAGE_SIZE, previous, type U64 } from './units.ts';

/** Membership of one tree; the owner embeds it, as kernel structures embed a node. */
export class IntervalNode<T> {
  readonly start: U64;
  readonly last: U64;
  readonly owner: T;
  left: IntervalNode<T> | undefined;
  right: IntervalNode<T> | undefined;
  height = 1;
  /** The lowest start and the highest last in this subtree. */
  subtreeStart: U64;
  subtreeLast: U64;
  /** No gap between neighbours in this subtree is longer than this many pages and a rest. */
  gapPages = 0;
  /** Keeps intervals that start together in the order in which they came. */
  serial = 0;

  constructor(start: U64, last: U64, owner: T) {
    this.start = start;
    this.last = last;
    this.owner = owner;
    this.subtreeStart = start;
    this.subtreeLast = last;
  }
}

type Node<T> = IntervalNode<T>;

export class IntervalTree<T> {
  #root: Node<T> | undefined;
  #serial = 0;
  #size = 0;

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
  }

  /** Take out a node that is in this tree. */
  remove(node: Node<T>): void {
    this.#root = removeFrom(this.#root as Node<T>, node);
    this.#size--;
  }

  /** The lowest interval that shares a byte with [start, last]. */
  first(start: U64, last: U64): T | undefined {
    return lowest(this.#root, start, last)?.owner;
  }

  /** All intervals that share a byte with [start, last], ascending. */
  overlapping(start: U64, last: U64): T[] {
    const found: T[] = [];
    collect(this.#root, start, last, found);
    return found;
  }

  /** Visit all intervals, ascending. */
  forEach(visit: (owner: T) => void): void {
    visitAll(this.#root, visit);
  }

  /** All intervals, ascending. */
  all(): T[] {
    const found: T[] = [];
    visitAll(this.#root, (owner) => found.push(owner));
    return found;
  }

  /**
   * The lowest gap between the intervals inside [from, to] that `place` takes; it is offered each, ascending, until it
   * answers. Gaps that are surely shorter than `pages` whole pages are passed over. The intervals must not overlap.
   */
  lowestGap<R>(from: U64, to: U64, pages: number, place: (start: U64, last: U64) => R | undefined): R | undefined {
    let free: U64 | undefined = from;
    let answer: R | undefined;
    const visit = (tree: Node<T> | undefined): boolean => {
      if (tree === undefined || free === undefined || less(tree.subtreeLast, free)) return false;
      const before = tree.subtreeStart.page - free.page;
      if (before < pages && tree.gapPages < pages) {
        free = next(tree.subtreeLast);
        return false;
      }
      if (visit(tree.left)) return true;
      if (free === undefined || less(to, free)) return true;
      if (less(free, tree.start)) answer = place(free, min(to, previous(tree.start)));
      if (answer !== undefined) return true;
      if (atMost(free, tree.last)) free = next(tree.last);
      return visit(tree.right);
    };
    if (visit(this.#root) || free === undefined || less(to, free)) return answer;
    return place(free, to);
  }
}

function insertInto<T>(tree: Node<T> | undefined, node: Node<T>): Node<T> {
  if (tree === undefined) return node;
  if (less(node.start, tree.start)) tree.left = insertInto(tree.left, node);
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

const precedes = <T>(a: Node<T>, b: Node<T>): boolean =>
  less(a.start, b.start) || (!less(b.start, a.start) && a.serial < b.serial);

function leftmost<T>(tree: Node<T>): Node<T> {
  let at = tree;
  while (at.left !== undefined) at = at.left;
  return at;
}

const heightOf = <T>(tree: Node<T> | undefined): number => (tree === undefined ? 0 : tree.height);

/** The page of the byte after `last`. */
const pageAfter = (last: U64): number => (last.byte === PAGE_SIZE - 1 ? last.page + 1 : last.page);

function update<T>(tree: Node<T>): void {
  const { left, right } = tree;
  tree.height = 1 + Math.max(heightOf(left), heightOf(right));
  let start = tree.start;
  let last = tree.last;
  let gap = 0;
  if (left !== undefined) {
    start = left.subtreeStart;
    gap = Math.max(left.gapPages, tree.start.page - pageAfter(left.subtreeLast));
    if (less(last, left.subtreeLast)) last = left.subtreeLast;
  }
  if (right !== undefined) {
    gap = Math.max(gap, right.gapPages, right.subtreeStart.page - pageAfter(tree.last));
    if (less(last, right.subtreeLast)) last = right.subtreeLast;
  }
  tree.subtreeStart = start;
  tree.subtreeLast = last;
  tree.gapPages = gap;
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

function lowest<T>(tree: Node<T> | undefined, start: U64, last: U64): Node<T> | undefined {
  let at = tree;
  while (at !== undefined && !less(at.subtreeLast, start)) {
    if (at.left !== undefined && !less(at.left.subtreeLast, start)) {
      at = at.left;
    } else if (atMost(at.start, last) && atMost(start, at.last)) {
      return at;
    } else if (atMost(at.start, last)) {
      at = at.right;
    } else {
      return undefined;
    }
  }
  return undefined;
}

function collect<T>(tree: Node<T> | undefined, start: U64, last: U64, found: T[]): void {
  if (tree === undefined || less(tree.subtreeLast, start)) return;
  collect(tree.left, start, last, found);
  if (!atMost(tree.start, last)) return;
  if (atMost(start, tree.last)) found.push(tree.owner);
  collect(tree.right, start, last, found);
}

function visitAll<T>(tree: Node<T> | undefined, visit: (owner: T) => void): void {
  if (tree === undefined) return;
  visitAll(tree.left, visit);
  visit(tree.owner);
  visitAll(tree.right, visit);
}
