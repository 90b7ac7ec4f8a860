/** The operations in loops over arrays. One process measures one candidate only, so that every call has one callee. */
import type { Arithmetic } from './units-candidates.ts';

const COUNT = 1024;
const PAGE = 0x1000n;
/** The top of the range, where a conversion cannot go by way of a double. */
const TOP = (1n << 64n) - (1n << 40n);

/** A loop answers how many operations it did. */
export type Loop = () => number;

interface Node<T> {
  readonly start: T;
  readonly left: Node<T> | undefined;
  readonly right: Node<T> | undefined;
}

/** The loops by name. What they find is kept or counted, lest the engine leave it out. */
export function loopsFor<T>(arithmetic: Arithmetic<T>): ReadonlyMap<string, Loop> {
  const { less, addChecked, lastOf, isAligned, fromBigint, toBigint } = arithmetic;
  const raw = addresses(0x100_0000n);
  const high = addresses(TOP);
  const [values, others] = [raw.map(fromBigint), raw.toReversed().map(fromBigint)];
  const lengths = raw.map((_, i) => fromBigint(BigInt(1 + (i % 16)) * PAGE));
  const highValues = high.map(fromBigint);
  const results: (T | undefined)[] = [...values];
  const exact = [...raw];
  const tree = balanced(
    values
      .toSorted((a, b) => (less(a, b) ? -1 : 1))
      .filter((_, i) => i % 64 === 32)
      .slice(0, 15),
  );
  let found = 0;
  return new Map<string, Loop>([
    [
      'compare',
      () => {
        for (let i = 0; i < COUNT; i++) if (less(values[i]!, others[i]!)) found++;
        return counted(found);
      },
    ],
    [
      'add, with a check for the carry',
      () => {
        for (let i = 0; i < COUNT; i++) results[i] = addChecked(values[i]!, lengths[i]!);
        return COUNT;
      },
    ],
    [
      'last byte of a range',
      () => {
        for (let i = 0; i < COUNT; i++) results[i] = lastOf(values[i]!, lengths[i]!);
        return COUNT;
      },
    ],
    [
      'alignment',
      () => {
        for (let i = 0; i < COUNT; i++) if (isAligned(values[i]!)) found++;
        return counted(found);
      },
    ],
    [
      'tree descent, 4 levels',
      () => {
        for (let i = 0; i < COUNT; i++) found += depth(tree, values[i]!, less);
        return counted(found);
      },
    ],
    [
      'argument of a call',
      () => {
        for (let i = 0; i < COUNT; i++) results[i] = fromBigint(raw[i]!);
        return COUNT;
      },
    ],
    [
      'argument above 2^53',
      () => {
        for (let i = 0; i < COUNT; i++) results[i] = fromBigint(high[i]!);
        return COUNT;
      },
    ],
    [
      'answer of a call',
      () => {
        for (let i = 0; i < COUNT; i++) exact[i] = toBigint(values[i]!);
        return COUNT;
      },
    ],
    [
      'answer above 2^53',
      () => {
        for (let i = 0; i < COUNT; i++) exact[i] = toBigint(highValues[i]!);
        return COUNT;
      },
    ],
  ]);
}

/** What a value takes on the heap, with the element of the array that holds it. */
export function bytesEach<T>({ fromBigint }: Arithmetic<T>, collect: () => void): number {
  const count = 100_000;
  collect();
  const before = process.memoryUsage().heapUsed;
  const values = Array.from({ length: count }, (_, i) => fromBigint(BigInt(i) * PAGE));
  collect();
  return (process.memoryUsage().heapUsed - before) / values.length;
}

const counted = (found: number): number => (found < 0 ? 0 : COUNT);

/** Addresses as sequences have them: pages and parts of pages from somewhere on, in no order. */
const addresses = (from: bigint): bigint[] =>
  Array.from({ length: COUNT }, (_, i) => from + BigInt((i * 389) % COUNT) * PAGE + (i % 4 === 0 ? 0x800n : 0n));

function balanced<T>(sorted: readonly T[]): Node<T> | undefined {
  const middle = sorted.length >> 1;
  const start = sorted[middle];
  if (start === undefined) return undefined;
  return { start, left: balanced(sorted.slice(0, middle)), right: balanced(sorted.slice(middle + 1)) };
}

function depth<T>(tree: Node<T> | undefined, value: T, less: (a: T, b: T) => boolean): number {
  let levels = 0;
  for (let at = tree; at !== undefined; at = less(value, at.start) ? at.left : at.right) levels++;
  return levels;
}
