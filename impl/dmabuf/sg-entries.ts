/**
 * The entries of a DMA list: how many there are, and what stands in each. A length has 32 bits, so that long ranges
 * are split.
 */
import type { DmaAddr } from '../iommu/dma-api.ts';
import { Splat, warnOn } from '../kernel/splat.ts';
import { addWrapping, bytes } from '../kernel/units.ts';

const UINT_MAX = 2 ** 32 - 1;

/** `scatterlist`, of which the CPU's half stays empty: there are no pages behind it that anybody could touch. */
export interface SgEntry {
  readonly dmaAddress: DmaAddr;
  /** In bytes, of 32 bits. */
  readonly dmaLength: number;
  readonly page: undefined;
  readonly length: 0;
}

/** What is contiguous for the device; `length` in bytes, of whatever size. */
export interface Segment {
  readonly addr: DmaAddr;
  readonly length: number;
}

/** The longest entry, in whole pages, so that the next one begins at a page, too. */
export const maxSegment = (pageSize: number): number => UINT_MAX - (UINT_MAX % pageSize);

/** `calc_sg_nents()`: entries for stretches of these lengths. The count has 32 bits; 0 says that it does not fit. */
export function calcSgNents(lengths: readonly number[], longest: number): number {
  let nents = 0;
  for (const length of lengths) {
    nents += Math.ceil(length / longest);
    if (nents > UINT_MAX) return 0;
  }
  return nents;
}

/**
 * `fill_sg_entry()`: entries that follow one another, each as long as can be, in a table with room for `nents`.
 * Fails: a Splat where the kernel would write behind the table
 */
export function fillSgEntry(entries: SgEntry[], nents: number, { addr, length }: Segment, longest: number): void {
  for (let done = 0; done < length; done += longest) {
    if (entries.length === nents) throw new Splat('WARN', `an sg_table of ${nents} entries is filled with more`);
    const dmaAddress = addWrapping(addr, bytes(done));
    entries.push({ dmaAddress, dmaLength: u32(Math.min(longest, length - done)), page: undefined, length: 0 });
  }
}

/** What is left of a number in a field of 32 bits. */
const u32 = (value: number): number => value % 2 ** 32;

/** Fails: a Splat when the table has room left, which an importer would take for entries */
export function assertFull(entries: readonly SgEntry[], nents: number): void {
  warnOn(entries.length !== nents, `an sg_table of ${nents} entries is filled with ${entries.length}`);
}
