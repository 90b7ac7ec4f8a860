/**
 * Quantities and how they are held. A 64-bit value is two safe integers, `page` (below 2^52) and `byte` (below 4096),
 * so that every value up to 2^64 - 1 is exact and yet plain numbers reach the walks; see docs/decisions/0001. What is
 * always small enough (physical addresses, page numbers) is one number. Brands keep the quantities apart; they are made
 * here and nowhere else. Ranges end in an inclusive `last`.
 */

export const PAGE_SIZE = 4096;
const PAGES = 2 ** 52;

/** An exact unsigned 64-bit value: `page * 4096 + byte`. */
export interface U64 {
  readonly page: number;
  readonly byte: number;
}

/** An address in an I/O address space, in bytes. */
export type Iova = U64 & { readonly __unit?: 'iova' };
/** A length or an offset, in bytes. */
export type Bytes = U64 & { readonly __unit?: 'bytes' };
/** An address in a process, in bytes. */
export type UserAddr = U64 & { readonly __unit?: 'user address' };
/** A physical address in bytes, below 2^52. */
export type PhysAddr = number & { readonly __unit?: 'phys' };
/** A physical page number: address / 4096. */
export type Pfn = number & { readonly __unit?: 'pfn' };
/** A page's number from the start of a pages object. */
export type PageIndex = number & { readonly __unit?: 'page index' };

/** A class, because literals that outlive a collection make the engine put all of their kind among what is old. */
class Exact implements U64 {
  readonly page: number;
  readonly byte: number;

  constructor(page: number, byte: number) {
    this.page = page;
    this.byte = byte;
  }
}

export const u64 = (page: number, byte: number): U64 => new Exact(page, byte);

export const ZERO: U64 = u64(0, 0);
export const U64_MAX: U64 = u64(PAGES - 1, PAGE_SIZE - 1);

/** From a whole number of bytes that a double holds exactly. */
export function bytes(value: number): U64 {
  const page = Math.floor(value / PAGE_SIZE);
  return u64(page, value - page * PAGE_SIZE);
}

/** Eight bytes through which a 64-bit value passes; no arithmetic of `bigint` is as fast. */
const WORD = new DataView(new ArrayBuffer(8));
const [HIGH, LOW] = [0, 4];
/** Pages of the lower four of them. */
const LOW_PAGES = 2 ** 20;

/** From a system call's argument. */
export function fromBigint(value: bigint): U64 {
  WORD.setBigUint64(HIGH, value);
  const low = WORD.getUint32(LOW);
  return u64(WORD.getUint32(HIGH) * LOW_PAGES + (low >>> 12), low & (PAGE_SIZE - 1));
}

/** For a system call's answer. What has grown beyond 64 bits, which nothing should, is told as it is. */
export function toBigint({ page, byte }: U64): bigint {
  if (page >= PAGES) return (BigInt(page) << 12n) | BigInt(byte);
  const high = Math.floor(page / LOW_PAGES);
  WORD.setUint32(HIGH, high);
  WORD.setUint32(LOW, (page - high * LOW_PAGES) * PAGE_SIZE + byte);
  return WORD.getBigUint64(HIGH);
}

/** The same as `toBigint(a) === value`, of which nothing is made. */
export const isExactly = (a: U64, value: bigint): boolean =>
  a.page < 2 ** 40 ? a.page * PAGE_SIZE + a.byte === Number(value) : toBigint(a) === value;

/**
 * The same number. What comes out of a division, or was beside such a number, is a double for the engine, and an object
 * holds it in another object; a small one not, if it is told.
 */
export const compact = (value: number): number => ((value | 0) === value ? value | 0 : value);

/** The value as a number of bytes; only where it is known to be below 2^53. */
export const toNumber = (a: U64): number => a.page * PAGE_SIZE + a.byte;

export const equal = (a: U64, b: U64): boolean => a.page === b.page && a.byte === b.byte;
export const isZero = (a: U64): boolean => a.page === 0 && a.byte === 0;
export const isMax = (a: U64): boolean => a.page === PAGES - 1 && a.byte === PAGE_SIZE - 1;
export const less = (a: U64, b: U64): boolean => a.page < b.page || (a.page === b.page && a.byte < b.byte);
export const atMost = (a: U64, b: U64): boolean => a.page < b.page || (a.page === b.page && a.byte <= b.byte);
export const min = (a: U64, b: U64): U64 => (less(a, b) ? a : b);
export const max = (a: U64, b: U64): U64 => (less(a, b) ? b : a);

/** a + b, or undefined where that wraps. */
export function addChecked(a: U64, b: U64): U64 | undefined {
  const sum = add(a, b);
  return sum.page < PAGES ? sum : undefined;
}

/** a + b, of which the caller knows that it does not wrap. */
export function add(a: U64, b: U64): U64 {
  const byte = a.byte + b.byte;
  return byte < PAGE_SIZE ? u64(a.page + b.page, byte) : u64(a.page + b.page + 1, byte - PAGE_SIZE);
}

/** a + b modulo 2^64. */
export function addWrapping(a: U64, b: U64): U64 {
  const sum = add(a, b);
  return sum.page < PAGES ? sum : u64(sum.page - PAGES, sum.byte);
}

/** a - b, of which the caller knows that b <= a. */
export function sub(a: U64, b: U64): U64 {
  const byte = a.byte - b.byte;
  return byte >= 0 ? u64(a.page - b.page, byte) : u64(a.page - b.page - 1, byte + PAGE_SIZE);
}

/** a - b modulo 2^64. */
export const subWrapping = (a: U64, b: U64): U64 => (atMost(b, a) ? sub(a, b) : add(sub(U64_MAX, sub(b, a)), ONE));

/** The last byte of [start, start + length); undefined where that wraps. length > 0. */
export function lastOf(start: U64, length: U64): U64 | undefined {
  const last = add(start, sub(length, ONE));
  return last.page < PAGES ? last : undefined;
}

/** The length of [start, last], which must not be all 2^64 bytes. */
export const lengthOf = (start: U64, last: U64): U64 => add(sub(last, start), ONE);

export const ONE: U64 = u64(0, 1);
export const PAGE: U64 = u64(1, 0);

/** How many pages a length takes. */
export const pagesOf = (length: U64): number => length.page + (length.byte > 0 ? 1 : 0);

/** The byte after `a`; undefined after the last. */
export const next = (a: U64): U64 | undefined => addChecked(a, ONE);
/** The byte before `a`, which is not 0. */
export const previous = (a: U64): U64 => sub(a, ONE);

/** Whether `a` is a multiple of `align`, a power of two of at most PAGE_SIZE. */
export const isAligned = (a: U64, align: number): boolean => (a.byte & (align - 1)) === 0;

/** `a` rounded up to `align`, a power of two of whatever size below 2^52; undefined where that wraps. */
export function alignUp(a: U64, align: number): U64 | undefined {
  if (align <= PAGE_SIZE) {
    const byte = (a.byte + align - 1) & ~(align - 1);
    if (byte < PAGE_SIZE) return u64(a.page, byte);
    return a.page + 1 < PAGES ? u64(a.page + 1, 0) : undefined;
  }
  const pages = align / PAGE_SIZE;
  const above = a.byte === 0 ? a.page : a.page + 1;
  const page = Math.ceil(above / pages) * pages;
  return page < PAGES ? u64(page, 0) : undefined;
}

/** For messages: lower-case hex. */
export const hex = (a: U64 | number): string => `0x${(typeof a === 'number' ? BigInt(a) : toBigint(a)).toString(16)}`;
