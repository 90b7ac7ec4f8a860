import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { highOf, lowOf, wholeOf } from '../../impl/kernel/halves.ts';
import { fromBigint, toBigint } from '../../impl/kernel/units.ts';

const value = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(0n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n),
);

test('halves give the value back, are 32-bit integers, and order as the values do', () => {
  fc.assert(
    fc.property(value, value, (a, b) => {
      const halves = [a, b].map((each) => [highOf(fromBigint(each)), lowOf(fromBigint(each))] as const);
      const [[aHigh, aLow], [bHigh, bLow]] = halves as [readonly [number, number], readonly [number, number]];
      expect(toBigint(wholeOf(aHigh, aLow))).toBe(a);
      for (const half of halves.flat()) expect(half).toBe(half | 0);
      expect(aHigh < bHigh || (aHigh === bHigh && aLow < bLow)).toBe(a < b);
    }),
    { numRuns: 1000 },
  );
});
