/**
 * How wide the gaps between the intervals of a tree are: for an interval that must begin at a multiple of something, a
 * gap is as wide as what is left of it after the first such multiple. Worked out when somebody asks, and kept in the
 * nodes until their subtree changes, so that a search passes over whole subtrees, however many holes are too narrow.
 */
import { HALF, type Half } from './halves.ts';
import type { WideNode } from './interval-node.ts';
import type { U64 } from './units.ts';

/** Gaps are measured in units of 512 bytes. */
const UNIT_SHIFT = 9;
const UNIT = 1 << UNIT_SHIFT;
const UNITS_PER_PAGE = 8;
/** Gaps of this many units, and all longer ones, count as this long. */
const LONGEST_GAP = 2 ** 30;

/** The units that surely must be there for `length` bytes. */
export const unitsOf = ({ page, byte }: U64): number =>
  Math.min(Math.max(page * UNITS_PER_PAGE + (byte >> UNIT_SHIFT), 1), LONGEST_GAP);

/** The rank of an alignment in bytes: 0 for less than a unit, else one more than the logarithm of so many units. */
export const rankOf = (align: number): number => (align < UNIT ? 0 : 32 - Math.clz32(align >> UNIT_SHIFT));

/**
 * Units from a byte, aligned upwards, to a start that follows; 0 when it does not follow. Rounded up, so that nothing
 * longer fits. `low` may be the one after the highest half.
 */
export function gapBetween(high: Half, low: number, startHigh: Half, startLow: Half, rank: number): number {
  const from = rank === 0 ? Math.floor(low / UNIT) : Math.ceil(low / UNIT);
  const skipped = rank === 0 ? 0 : -from & ((1 << (rank - 1)) - 1);
  const units = (startHigh - high) * (HALF / UNIT) + Math.ceil(startLow / UNIT) - from - skipped;
  return units < 0 ? 0 : Math.min(units, LONGEST_GAP);
}

/** No gap between neighbours in the subtree has more units for an interval that is aligned so. */
export function widestGap(node: WideNode, rank: number): number {
  node.gaps ??= [];
  const known = node.gaps[rank];
  if (known !== undefined) return known;
  const { level, entries, starts, reaches } = node;
  let widest = 0;
  for (let at = 0; at < entries.length; at++) {
    if (level > 0) widest = Math.max(widest, widestGap(entries[at] as WideNode, rank));
    if (at === 0) continue;
    const high = reaches[2 * at - 2] as Half;
    const low = reaches[2 * at - 1] as Half;
    widest = Math.max(widest, gapBetween(high, low + 1, starts[2 * at] as Half, starts[2 * at + 1] as Half, rank));
  }
  node.gaps[rank] = widest;
  return widest;
}
