/** Ways to hold a 64-bit value, each with the operations that calls, placement and the interval trees do. */
import * as pages from '../impl/kernel/units.ts';

export interface Arithmetic<T> {
  /** Some values are not themselves. */
  readonly inexact?: string;
  readonly less: (a: T, b: T) => boolean;
  /** a + b; undefined where that wraps. */
  readonly addChecked: (a: T, b: T) => T | undefined;
  /** The last byte of [start, start + length); undefined where that wraps. */
  readonly lastOf: (start: T, length: T) => T | undefined;
  /** Whether it is a multiple of 4096. */
  readonly isAligned: (a: T) => boolean;
  readonly fromBigint: (value: bigint) => T;
  readonly toBigint: (a: T) => bigint;
}

const END = 1n << 64n;

const bigint: Arithmetic<bigint> = {
  less: (a, b) => a < b,
  addChecked: (a, b) => {
    const sum = a + b;
    return sum < END ? sum : undefined;
  },
  lastOf: (start, length) => {
    const last = start + length - 1n;
    return last < END ? last : undefined;
  },
  isAligned: (a) => (a & 0xfffn) === 0n,
  fromBigint: (value) => value,
  toBigint: (a) => a,
};

const pageAndByte: Arithmetic<pages.U64> = {
  less: pages.less,
  addChecked: pages.addChecked,
  lastOf: pages.lastOf,
  isAligned: (a) => pages.isAligned(a, pages.PAGE_SIZE),
  fromBigint: pages.fromBigint,
  toBigint: pages.toBigint,
};

/** Two halves of 32 bits, signed, so that the engine keeps both in the object itself. */
interface Halves {
  readonly high: number;
  readonly low: number;
}

const add = (a: Halves, b: Halves): Halves | undefined => {
  const low = (a.low >>> 0) + (b.low >>> 0);
  const high = (a.high >>> 0) + (b.high >>> 0) + (low >= 2 ** 32 ? 1 : 0);
  return high < 2 ** 32 ? { high: high | 0, low: low | 0 } : undefined;
};

const halves: Arithmetic<Halves> = {
  less: (a, b) => a.high >>> 0 < b.high >>> 0 || (a.high === b.high && a.low >>> 0 < b.low >>> 0),
  addChecked: add,
  lastOf: (start, { high, low }) =>
    add(start, low === 0 ? { high: (high - 1) | 0, low: -1 } : { high, low: (low - 1) | 0 }),
  isAligned: ({ low }) => (low & 0xfff) === 0,
  fromBigint: (value) => {
    const small = Number(value);
    if (small > Number.MAX_SAFE_INTEGER)
      return { high: Number(value >> 32n) | 0, low: Number(value & 0xffff_ffffn) | 0 };
    const high = Math.floor(small / 2 ** 32);
    return { high: high | 0, low: (small - high * 2 ** 32) | 0 };
  },
  toBigint: ({ high, low }) => {
    const top = high >>> 0;
    return top < 2 ** 21 ? BigInt(top * 2 ** 32 + (low >>> 0)) : (BigInt(top) << 32n) | BigInt(low >>> 0);
  },
};

const double: Arithmetic<number> = {
  inexact: 'wrong above 2^53',
  less: (a, b) => a < b,
  addChecked: (a, b) => (a + b < 2 ** 64 ? a + b : undefined),
  lastOf: (start, length) => (start + length - 1 < 2 ** 64 ? start + length - 1 : undefined),
  isAligned: (a) => Math.floor(a / 4096) * 4096 === a,
  fromBigint: Number,
  toBigint: BigInt,
};

/** Asks for the arithmetic of each type by itself. */
export type Visit<R> = <T>(arithmetic: Arithmetic<T>) => R;

export const CANDIDATES: ReadonlyMap<string, <R>(visit: Visit<R>) => R> = new Map([
  ['bigint', (visit) => visit(bigint)],
  ['page and byte', (visit) => visit(pageAndByte)],
  ['two int32', (visit) => visit(halves)],
  ['double', (visit) => visit(double)],
] as const satisfies readonly (readonly [string, <R>(visit: Visit<R>) => R])[]);
