import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { wholeOf } from '../../impl/kernel/halves.ts';
import { type Entry, WideNode } from '../../impl/kernel/interval-node.ts';
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

/** A few bytes, where many start together; bytes around a few pages, and around 2^52 pages. */
const place = fc.oneof(
  fc.bigInt({ min: 0n, max: 3n }),
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
    fc.property(
      fc.array(op, { maxLength: 200, size: 'max' }),
      fc.array(span, { minLength: 1, maxLength: 8 }),
      (ops, queries) => {
        const { tree, list } = build(ops);
        expect(tree.size).toBe(list.length);
        expect(tree.all()).toEqual(sorted(list));
        for (const [first, last] of queries) {
          const hits = sorted(list).filter(({ span: [start, end] }) => start <= last && first <= end);
          expect(tree.overlapping(fromBigint(first), fromBigint(last))).toEqual(hits);
          expect(tree.first(fromBigint(first), fromBigint(last))).toBe(hits[0]);
          expect(tree.countMeeting(new Named([first, last]))).toBe(hits.length);
        }
      },
    ),
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
      const half = adds.length >> 1;
      const { tree, list } = build(adds.slice(0, half));
      // What this learns of the gaps is not so any more when more intervals have come, nor when some have gone.
      const learn = (): undefined => tree.lowestGap(ZERO, U64_MAX, fromBigint(length), Number(align), () => undefined);
      learn();
      change(tree, list, adds.slice(half));
      learn();
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

test('lowestGap finds the gap before an interval that comes behind all others', () => {
  const page = 0x1000n;
  const tree = new IntervalTree<Named>();
  for (let at = 0n; at < 60n; at++) tree.insert(new Named([at * page, (at + 1n) * page - 1n]));
  const found = (): Span | undefined =>
    tree.lowestGap(ZERO, fromBigint(62n * page - 1n), fromBigint(page), 0x1000, (a, b) => [toBigint(a), toBigint(b)]);
  expect(found()).toEqual([60n * page, 62n * page - 1n]);
  tree.insert(new Named([61n * page, 62n * page - 1n]));
  expect(found()).toEqual([60n * page, 61n * page - 1n]);
});

/** How many levels of nodes there really are below an entry; fails where they differ, or one lies about its entries. */
function levelsOf(entry: Entry): number {
  if (!(entry instanceof WideNode)) return 0;
  const { entries, level, starts, reaches } = entry;
  for (const each of entries) expect(levelsOf(each)).toBe(level);
  expect(starts).toEqual(entries.flatMap(({ startHigh, startLow }) => [startHigh, startLow]));
  const reached = entries.map(({ lastHigh, lastLow }) => toBigint(wholeOf(lastHigh, lastLow)));
  const furthest = reached.map((_, at) => reached.slice(0, at + 1).reduce((a, b) => (a < b ? b : a)));
  const told = furthest.map((_, at) => toBigint(wholeOf(reaches[2 * at] as number, reaches[2 * at + 1] as number)));
  expect(told).toEqual(furthest);
  return level + 1;
}

/** The same of a tree, of which all nodes but the root must be full to a quarter. */
function depth({ root }: IntervalTree<Named>): number {
  const few = (entry: Entry): boolean =>
    entry instanceof WideNode && (entry.entries.length < 4 || entry.entries.length > 16 || entry.entries.some(few));
  expect(root instanceof WideNode && root.entries.some(few)).toBe(false);
  return root === undefined ? 0 : levelsOf(root);
}

test.each<[order: string, place: (i: number, n: number) => number]>([
  ['ascending', (i) => i],
  ['descending', (i, n) => n - i],
  ['from both ends', (i, n) => (i % 2 ? n - i : i)],
  ['shuffled', (i, n) => (i * 7919) % n],
])(
  'a tree stays balanced, and each node knows how long its entries are, when intervals come %s and every third goes',
  (_, order) => {
    const n = 1000;
    const tree = new IntervalTree<Named>();
    const all = Array.from(
      { length: n },
      (_, i) => new Named([BigInt(order(i, n)) * 16n, BigInt(order(i, n)) * 16n + 7n]),
    );
    for (const node of all) tree.insert(node);
    expect(depth(tree)).toBeLessThanOrEqual(Math.log(n) / Math.log(4));
    const left = all.filter((node, i) => i % 3 !== 0 || tree.remove(node) !== undefined);
    expect(tree.size).toBe(left.length);
    expect(depth(tree)).toBeLessThanOrEqual(Math.log(left.length) / Math.log(4));
    expect(tree.first(ZERO, U64_MAX)).toBe(sorted(left)[0]);
  },
);
