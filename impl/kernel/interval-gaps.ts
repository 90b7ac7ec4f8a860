/**
 * How wide the gaps between the intervals of a tree are: for an interval that must begin at a multiple of something, a
 * gap is as wide as what is left of it after the first such multiple. Worked out when somebody asks, and kept in the
 * nodes until their subtree changes, so that a search passes over whole subtrees, however many holes are too narrow.
 */
import { HALF, type Half } from './halves.ts';
import type { U64 } from './units.ts';

/** Gaps are measured in units of 512 bytes. */
const UNIT_SHIFT = 9;
const UNIT = 1 << UNIT_SHIFT;
const UNITS_PER_PAGE = 8;
/** Gaps of this many units, and all longer ones, count as this long. */
const LONGEST_GAP = 2 ** 30;

/** A node, and what it knows of its subtree. */
interface Gapped {
  readonly left: Gapped | undefined;
  readonly right: Gapped | undefined;
  readonly startHigh: Half;
  readonly startLow: Half;
  readonly lastHigh: Half;
  readonly lastLow: Half;
  readonly leftHigh: Half;
  readonly leftLow: Half;
  readonly firstHigh: Half;
  readonly firstLow: Half;
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
 * longer fits. `low` may be the one after the highest half.
 */
export function gapBetween(high: Half, low: number, startHigh: Half, startLow: Half, rank: number): number {
  const from = rank === 0 ? Math.floor(low / UNIT) : Math.ceil(low / UNIT);
  const skipped = rank === 0 ? 0 : -from & ((1 << (rank - 1)) - 1);
  const units = (startHigh - high) * (HALF / UNIT) + Math.ceil(startLow / UNIT) - from - skipped;
  return units < 0 ? 0 : Math.min(units, LONGEST_GAP);
}

/** No gap between neighbours in the subtree has more units for an interval that is aligned so. */
export function widestGap(tree: Gapped, rank: number): number {
  tree.gaps ??= [];
  const known = tree.gaps[rank];
  if (known !== undefined) return known;
  const { left, right } = tree;
  let widest = 0;
  if (left !== undefined) {
    const between = gapBetween(tree.leftHigh, tree.leftLow + 1, tree.startHigh, tree.startLow, rank);
    widest = Math.max(between, widestGap(left, rank));
  }
  if (right !== undefined) {
    const between = gapBetween(tree.lastHigh, tree.lastLow + 1, right.firstHigh, right.firstLow, rank);
    widest = Math.max(widest, between, widestGap(right, rank));
  }
  tree.gaps[rank] = widest;
  return widest;
}
