/**
 * How wide the gaps between the intervals of a tree are: for an interval that must begin at a multiple of something, a
 * gap is as wide as what is left of it after the first such multiple. Worked out when somebody asks, and kept in the
 * nodes until their subtree changes, so that a search passes over whole subtrees, however many holes are too narrow.
 */
import type { U64 } from './units.ts';

/** Page numbers are cut here, so that both parts are small integers, which an object holds without a pointer. */
export const PART = 2 ** 26;

/** Gaps are measured in units of 512 bytes, of which a page has eight. */
const UNIT_SHIFT = 9;
const UNIT = 1 << UNIT_SHIFT;
const UNITS_PER_PAGE = 8;
/** Gaps of this many units, and all longer ones, count as this long. */
const LONGEST_GAP = 2 ** 30;

/** A node, and what it knows of its subtree: page numbers in two parts, and the byte in the page. */
interface Gapped {
  readonly left: Gapped | undefined;
  readonly right: Gapped | undefined;
  readonly startHigh: number;
  readonly startLow: number;
  readonly startByte: number;
  readonly lastHigh: number;
  readonly lastLow: number;
  readonly lastByte: number;
  readonly firstHigh: number;
  readonly firstLow: number;
  readonly firstByte: number;
  readonly reachHigh: number;
  readonly reachLow: number;
  readonly reachByte: number;
  /** By rank. */
  gaps: (number | undefined)[] | undefined;
}

/** The units that surely must be there for `length` bytes. */
export const unitsOf = ({ page, byte }: U64): number =>
  Math.min(Math.max(page * UNITS_PER_PAGE + (byte >> UNIT_SHIFT), 1), LONGEST_GAP);

/** The rank of an alignment in bytes: 0 for less than a unit, else one more than the logarithm of so many units. */
export const rankOf = (align: number): number => (align < UNIT ? 0 : 32 - Math.clz32(align >> UNIT_SHIFT));

/**
 * Units from a byte, aligned upwards, to a start that follows; 0 when it does not follow. Rounded up, so that nothing
 * longer fits. `byte` may be the one after a page's last.
 */
export function gapBetween(
  high: number,
  low: number,
  byte: number,
  startHigh: number,
  startLow: number,
  startByte: number,
  rank: number,
): number {
  const from = rank === 0 ? byte >> UNIT_SHIFT : (byte + UNIT - 1) >> UNIT_SHIFT;
  const skipped = rank === 0 ? 0 : -(low * UNITS_PER_PAGE + from) & ((1 << (rank - 1)) - 1);
  const pages = (startHigh - high) * PART + startLow - low;
  const units = pages * UNITS_PER_PAGE + ((startByte + UNIT - 1) >> UNIT_SHIFT) - from - skipped;
  return units < 0 ? 0 : Math.min(units, LONGEST_GAP);
}

/** No gap between neighbours in the subtree has more units for an interval that is aligned so. */
export function widestGap(tree: Gapped, rank: number): number {
  tree.gaps ??= [];
  const known = tree.gaps[rank];
  if (known !== undefined) return known;
  const { left, right, startHigh, startLow, startByte } = tree;
  let widest = 0;
  if (left !== undefined) {
    const { reachHigh, reachLow, reachByte } = left;
    const between = gapBetween(reachHigh, reachLow, reachByte + 1, startHigh, startLow, startByte, rank);
    widest = Math.max(between, widestGap(left, rank));
  }
  if (right !== undefined) {
    const { lastHigh, lastLow, lastByte } = tree;
    const { firstHigh, firstLow, firstByte } = right;
    const between = gapBetween(lastHigh, lastLow, lastByte + 1, firstHigh, firstLow, firstByte, rank);
    widest = Math.max(widest, between, widestGap(right, rank));
  }
  tree.gaps[rank] = widest;
  return widest;
}
