import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { IntervalNode, IntervalTree } from '../../impl/kernel/interval-tree.ts';
import { fromBigint, toBigint, U64_MAX, ZERO } from '../../impl/kernel/units.ts';

type Span = readonly [first: bigint, last: bigint];

let names = 0;

class Named extends IntervalNode {
  readonly name = names++;
  readonly span: Span;

  constructor(span: Span) {
    super(fromBigint(span[0]), fromBigint(span[1]));
    this.span = span;
  }
}

/** Bytes around a few pages, and around 2^52 pages. */
const place = fc.oneof(
  fc.bigInt({ min: 0n, max: 0x4000n }),
  fc.bigInt({ min: 2n ** 64n - 0x4000n, max: 2n ** 64n - 1n }),
);
const span = fc.tuple(place, place).map(([a, b]): Span => (a < b ? [a, b] : [b, a]));
const op = fc.oneof(
  { weight: 3, arbitrary: span.map((add) => ({ add })) },
  { weight: 1, arbitrary: fc.nat(60).map((drop) => ({ drop })) },
);

/** Sorted as the tree does: by start, then in the order in which they came. */
const sorted = (list: readonly Named[]): Named[] =>
  list.toSorted((a, b) => (a.span[0] === b.span[0] ? a.name - b.name : a.span[0] < b.span[0] ? -1 : 1));

type Op = { add: Span } | { drop: number };

function build(ops: readonly Op[]): { tree: IntervalTree<Named>; list: Named[] } {
  const tree = new IntervalTree<Named>();
  const list: Named[] = [];
  change(tree, list, ops);
  return { tree, list };
}

function change(tree: IntervalTree<Named>, list: Named[], ops: readonly Op[]): void {
  for (const each of ops) {
    if ('add' in each) {
      const node = new Named(each.add);
      tree.insert(node);
      list.push(node);
    } else if (list.length > 0) {
      const [node] = list.splice(each.drop % list.length, 1) as [Named];
      tree.remove(node);
    }
  }
}

test('a tree answers as a list does, after any insertions and removals, with overlaps and equal starts', () => {
  fc.assert(
    fc.property(fc.array(op, { maxLength: 70 }), fc.array(span, { minLength: 1, maxLength: 8 }), (ops, queries) => {
      const { tree, list } = build(ops);
      expect(tree.size).toBe(list.length);
      expect(tree.all()).toEqual(sorted(list));
      for (const [first, last] of queries) {
        const hits = sorted(list).filter(({ span: [start, end] }) => start <= last && first <= end);
        expect(tree.overlapping(fromBigint(first), fromBigint(last))).toEqual(hits);
        expect(tree.first(fromBigint(first), fromBigint(last))).toBe(hits[0]);
      }
    }),
    { numRuns: 200 },
  );
});

/** The gaps between disjoint intervals inside [from, to], ascending. */
function gapsOf(list: readonly Named[], from: bigint, to: bigint): Span[] {
  const gaps: Span[] = [];
  let free = from;
  for (const {
    span: [start, last],
  } of sorted(list)) {
    if (start > free && free <= to) gaps.push([free, start - 1n < to ? start - 1n : to]);
    if (last >= free) free = last + 1n;
  }
  return free <= to ? [...gaps, [free, to]] : gaps;
}

/** Mostly a size that areas have, so that gaps fit just so. */
const size = fc.oneof(
  fc.constantFrom(0n, 0x200n, 0x800n, 0x1000n, 0x1800n, 0x2000n),
  fc.bigInt({ min: 0n, max: 0x2800n }),
);

const disjoint = fc
  .tuple(
    fc.array(
      fc.tuple(
        size,
        size.map((length) => (length === 0n ? 1n : length)),
      ),
      { maxLength: 40 },
    ),
    fc.constantFrom(0n, 2n ** 64n - 0x40000n),
  )
  .map(([steps, base]) => {
    let at = base;
    return steps.flatMap(([gap, length]): { add: Span }[] => {
      const add: Span = [at + gap, at + gap + length - 1n];
      at = add[1] + 1n;
      return add[1] < 2n ** 64n ? [{ add }] : [];
    });
  });

/** How much is wanted, and how aligned. */
const wish = fc.tuple(
  size.map((length) => (length === 0n ? 1n : length)),
  fc.nat(14).map((shift) => 1n << BigInt(shift)),
);

test('lowestGap gives the first gap that is taken, and passes over none that is long enough', () => {
  const dropped = fc.array(fc.nat(60), { maxLength: 9 });
  fc.assert(
    fc.property(disjoint, dropped, span, wish, (adds, drops, [from, to], [length, align]) => {
      const { tree, list } = build(adds);
      // What this learns of the gaps is not so any more when some of the intervals have gone.
      tree.lowestGap(ZERO, U64_MAX, fromBigint(length), Number(align), () => undefined);
      change(
        tree,
        list,
        drops.map((drop) => ({ drop })),
      );
      const offered: Span[] = [];
      const enough = (first: bigint, last: bigint): boolean =>
        last + 1n >= ((first + align - 1n) / align) * align + length;
      const found = tree.lowestGap(fromBigint(from), fromBigint(to), fromBigint(length), Number(align), (a, b) => {
        offered.push([toBigint(a), toBigint(b)]);
        return enough(toBigint(a), toBigint(b)) ? 'taken' : undefined;
      });
      const gaps = gapsOf(list, from, to);
      const first = gaps.findIndex((gap) => enough(...gap));
      expect(found).toBe(first < 0 ? undefined : 'taken');
      // It may pass over gaps that are too short, but offers no other and keeps to the order.
      const upTo = first < 0 ? gaps : gaps.slice(0, first + 1);
      expect(upTo.filter((gap) => offered.some((o) => o[0] === gap[0] && o[1] === gap[1]))).toEqual(offered);
      if (first >= 0) expect(offered.at(-1)).toEqual(gaps[first]);
    }),
    { numRuns: 1000 },
  );
});

test.each<[what: string, spans: Span[], from: bigint, to: bigint, gaps: Span[]]>([
  ['the whole, where nothing is', [], 5n, 9n, [[5n, 9n]]],
  ['none, where all is taken', [[0n, 9n]], 5n, 9n, []],
  [
    'what is left at both ends',
    [[6n, 7n]],
    5n,
    9n,
    [
      [5n, 5n],
      [8n, 9n],
    ],
  ],
  ['the gap up to the end of everything', [[0n, 9n]], 0n, 2n ** 64n - 1n, [[10n, 2n ** 64n - 1n]]],
  ['none behind an interval that ends with everything', [[10n, 2n ** 64n - 1n]], 10n, 2n ** 64n - 1n, []],
  ['none beyond what was asked for', [[20n, 30n]], 5n, 9n, [[5n, 9n]]],
])('lowestGap offers %s', (_, spans, from, to, gaps) => {
  const { tree } = build(spans.map((add) => ({ add })));
  const offered: Span[] = [];
  tree.lowestGap(fromBigint(from), fromBigint(to), fromBigint(1n), 1, (a, b) => {
    offered.push([toBigint(a), toBigint(b)]);
    return undefined;
  });
  expect(offered).toEqual(gaps);
});

test('lowestGap finds the gap that any interval leaves when it goes, and none once it is back', () => {
  const page = 0x1000n;
  const all = Array.from({ length: 64 }, (_, i) => new Named([BigInt(i) * page, (BigInt(i) + 1n) * page - 1n]));
  const tree = new IntervalTree<Named>();
  for (const node of all) tree.insert(node);
  const found = (): Span | undefined =>
    tree.lowestGap(ZERO, fromBigint(64n * page - 1n), fromBigint(page), 0x1000, (a, b) => [toBigint(a), toBigint(b)]);
  expect(found()).toBe(undefined);
  for (const node of all) {
    tree.remove(node);
    expect(found()).toEqual(node.span);
    tree.insert(node);
    expect(found()).toBe(undefined);
  }
});

/** How deep the tree below a node really is; fails where it leans or lies about itself. */
function depth(node: IntervalNode | undefined): number {
  if (node === undefined) return 0;
  const [left, right] = [depth(node.left), depth(node.right)];
  expect(Math.abs(left - right)).toBeLessThanOrEqual(1);
  expect(node.height).toBe(1 + Math.max(left, right));
  return node.height;
}

test.each<[order: string, place: (i: number, n: number) => number]>([
  ['ascending', (i) => i],
  ['descending', (i, n) => n - i],
  ['from both ends', (i, n) => (i % 2 ? n - i : i)],
  ['shuffled', (i, n) => (i * 7919) % n],
])('a tree stays balanced: no deeper than 1.44 log2 n, when intervals come %s and every third goes', (_, order) => {
  const n = 1000;
  const tree = new IntervalTree<Named>();
  const all = Array.from(
    { length: n },
    (_, i) => new Named([BigInt(order(i, n)) * 16n, BigInt(order(i, n)) * 16n + 7n]),
  );
  for (const node of all) tree.insert(node);
  expect(deepest(tree)).toBeLessThanOrEqual(1.45 * Math.log2(n + 2));
  const left = all.filter((node, i) => i % 3 !== 0 || tree.remove(node) !== undefined);
  expect(tree.size).toBe(left.length);
  expect(deepest(tree)).toBeLessThanOrEqual(1.45 * Math.log2(left.length + 2));
  expect(tree.first(ZERO, U64_MAX)).toBe(sorted(left)[0]);
});

/** The root is whichever of the nodes is no child of another. */
function deepest(tree: IntervalTree<Named>): number {
  const nodes = tree.all();
  const children = new Set(nodes.flatMap(({ left, right }) => [left, right]));
  return depth(nodes.find((node) => !children.has(node)));
}
