/** 64-bit values as two safe integers: exact where a double is not, at 2^53, at 2^63, and up to 2^64 - 1. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  add,
  addChecked,
  addWrapping,
  alignUp,
  atMost,
  bytes,
  compact,
  equal,
  fromBigint,
  hex,
  isAligned,
  isExactly,
  isMax,
  isZero,
  lastOf,
  lengthOf,
  less,
  max,
  min,
  next,
  previous,
  sub,
  toBigint,
  toNumber,
  type U64,
  U64_MAX,
  ZERO,
} from '../../impl/kernel/units.ts';

const MAX = 2n ** 64n - 1n;
const EDGES = [0n, 1n, 0x7ffn, 0x800n, 0xfffn, 0x1000n, 0x1001n, 0x1fffffn, 2n ** 32n]
  .concat([52n, 53n, 63n].flatMap((bit) => [2n ** bit - 1n, 2n ** bit, 2n ** bit + 1n]))
  .concat([MAX - 0x1000n, MAX - 0xfffn, MAX - 1n, MAX]);

const value = fc.oneof(
  fc.constantFrom(...EDGES),
  fc.bigInt({ min: 0n, max: MAX }),
  fc.bigInt({ min: 0n, max: 0x3000n }),
  fc.bigInt({ min: MAX - 0x3000n, max: MAX }),
);
const big = (a: U64 | undefined): bigint | undefined => a && toBigint(a);

test.each(EDGES)('%i goes in and comes out again, in normal form', (edge) => {
  const { page, byte } = fromBigint(edge);
  expect([BigInt(page) * 4096n + BigInt(byte), toBigint(fromBigint(edge))]).toEqual([edge, edge]);
  expect(Number.isSafeInteger(page) && byte >= 0 && byte < 4096).toBe(true);
});

test('neighbours around 2^53 stay apart, where doubles would not', () => {
  const around = [2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 53n + 2n].map(fromBigint);
  expect(new Set(around.map(toBigint)).size).toBe(4);
  expect(around.map((a) => toBigint(next(a) as U64) - toBigint(a))).toEqual([1n, 1n, 1n, 1n]);
  expect(around.map((a) => around.filter((b) => isExactly(a, toBigint(b))))).toEqual(around.map((a) => [a]));
});

describe('what is computed is what bigints compute', () => {
  const check = (work: (a: U64, b: U64, x: bigint, y: bigint) => void): void => {
    fc.assert(
      fc.property(value, value, (x, y) => work(fromBigint(x), fromBigint(y), x, y)),
      { numRuns: 400 },
    );
  };
  const wrapped = (x: bigint): bigint | undefined => (x > MAX ? undefined : x);

  test('sums: checked, and modulo 2^64', () =>
    check((a, b, x, y) => {
      expect(big(addChecked(a, b))).toBe(wrapped(x + y));
      expect(big(addWrapping(a, b))).toBe((x + y) & MAX);
      if (x + y <= MAX) expect(big(add(a, b))).toBe(x + y);
    }));

  test('differences', () =>
    check((a, b, x, y) => {
      if (y <= x) expect(big(sub(a, b))).toBe(x - y);
    }));

  test('order and extremes', () =>
    check((a, b, x, y) => {
      expect([less(a, b), atMost(a, b), equal(a, b)]).toEqual([x < y, x <= y, x === y]);
      expect([big(min(a, b)), big(max(a, b))]).toEqual(x < y ? [x, y] : [y, x]);
      expect([isZero(a), isMax(a)]).toEqual([x === 0n, x === MAX]);
    }));

  test('neighbours', () =>
    check((a, _, x) => {
      expect(big(next(a))).toBe(wrapped(x + 1n));
      if (x > 0n) expect(big(previous(a))).toBe(x - 1n);
    }));

  test('the last byte of a range, and the length of one', () =>
    check((a, b, x, y) => {
      if (y > 0n) expect(big(lastOf(a, b))).toBe(wrapped(x + y - 1n));
      if (x <= y && y - x < MAX) expect(big(lengthOf(a, b))).toBe(y - x + 1n);
    }));

  test('alignment, by powers of two from a byte to many pages', () => {
    const power = fc.integer({ min: 0, max: 51 });
    fc.assert(
      fc.property(value, power, (x, bit) => {
        const align = 2n ** BigInt(bit);
        const up = ((x + align - 1n) / align) * align;
        expect(big(alignUp(fromBigint(x), 2 ** bit))).toBe(wrapped(up));
        if (bit <= 12) expect(isAligned(fromBigint(x), 2 ** bit)).toBe(x % align === 0n);
      }),
      { numRuns: 400 },
    );
  });
});

test.each<[a: bigint, align: number, up: bigint | undefined]>([
  [0n, 0x1000, 0n],
  [1n, 1, 1n],
  [0x801n, 0x800, 0x1000n],
  [0x1000n, 0x200000, 0x200000n],
  [0x200000n, 0x200000, 0x200000n],
  [MAX, 1, MAX],
  [MAX, 2, undefined],
  [MAX - 0xfffn, 0x1000, MAX - 0xfffn],
  [MAX - 0xffen, 0x1000, undefined],
  [MAX - 0xfffn, 0x2000, undefined],
])('alignUp of %i by %i is %i, or nothing where that wraps', (a, align, up) => {
  expect(big(alignUp(fromBigint(a), align))).toBe(up);
});

test('small values come from numbers, and go back to them', () => {
  for (const small of [0, 1, 0xfff, 0x1000, 2 ** 40 + 5, Number.MAX_SAFE_INTEGER]) {
    expect([toNumber(bytes(small)), Number(toBigint(bytes(small)))]).toEqual([small, small]);
  }
});

test('a compact number is the number, however large', () => {
  for (const value of [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 52 - 1])
    expect(compact(value)).toBe(value);
});

test.each<[what: U64 | number, written: string]>([
  [ZERO, '0x0'],
  [U64_MAX, '0xffffffffffffffff'],
  [fromBigint(2n ** 63n + 0xabcn), '0x8000000000000abc'],
  [255, '0xff'],
  [2 ** 52, '0x10000000000000'],
])('%o is written in hex for messages', (what, written) => {
  expect(hex(what)).toBe(written);
});
