/** A 64-bit value in two small integers: the form in which interval trees hold and compare it. */
import { type U64, u64 } from './units.ts';

/** 32 bits of a 64-bit value, less 2^31: a small integer, which an object holds without a pointer. */
export type Half = number & { readonly __unit?: 'half' };

/** What one of the upper half is worth. */
export const HALF = 2 ** 32;
/** The lowest half there is. */
export const LOWEST: Half = -(2 ** 31);
/** Pages that a half counts, when it is the lower one. */
const PAGES_IN_HALF = 2 ** 20;
const PAGE_SHIFT = 12;
const BYTES = 4095;

/** The conversions to 32 bits change nothing: they say that what comes out is small. */
export const highOf = ({ page }: U64): Half => (Math.floor(page / PAGES_IN_HALF) + LOWEST) | 0;

export function lowOf({ page, byte }: U64): Half {
  const pages = page - Math.floor(page / PAGES_IN_HALF) * PAGES_IN_HALF;
  return (pages * (BYTES + 1) + byte + LOWEST) | 0;
}

export const wholeOf = (high: Half, low: Half): U64 =>
  u64((high - LOWEST) * PAGES_IN_HALF + (low >> PAGE_SHIFT) + PAGES_IN_HALF / 2, low & BYTES);

/** a < b, each in its halves. */
export const below = (aHigh: Half, aLow: Half, bHigh: Half, bLow: Half): boolean =>
  aHigh !== bHigh ? aHigh < bHigh : aLow < bLow;
