/** Where areas go: what is taken, what is free, and what is promised of an IOVA that the kernel chooses. */

import type { Interval } from '../trace/command.ts';
import { isHeld } from './holds.ts';
import { first, type Refusal, type Refused } from './outcome.ts';
import type { Area, Bytes, Ioas, Iova, State } from './spec.ts';

/** One past the last byte. */
export const END: Bytes = 1n << 64n;
export const MAX: Bytes = END - 1n;
const HUGE = 0x20_0000n;
/** The kernel looks for no hole of this length. */
const LONG: Bytes = MAX / 2n;

export const lower = (a: Bytes, b: Bytes): Bytes => (a < b ? a : b);
export const higher = (a: Bytes, b: Bytes): Bytes => (a > b ? a : b);
export const ceil = (value: Bytes, to: Bytes): Bytes => ((value + to - 1n) / to) * to;
/** Whether an area has any address from `low` to `last`. */
export const meets = ({ iova, length }: Pick<Area, 'iova' | 'length'>, low: Iova, last: Iova): boolean =>
  iova <= last && low < iova + length;

/** Where the areas begin that have any address from `from` on; they are ascending and disjoint. */
export const placeOf = (areas: readonly Area[], from: Iova): number => {
  let at = areas.length - 1;
  while (at >= 0 && areas[at]!.iova > from) at--;
  return at >= 0 && from < areas[at]!.iova + areas[at]!.length ? at : at + 1;
};

/** What of `[from, last]` is not taken: ascending, each as long as can be. */
export const gaps = (taken: readonly Interval[], from: Bytes, last: Bytes): readonly Interval[] => {
  const free: Interval[] = [];
  let low = from;
  for (const [first, end] of taken.toSorted((a, b) => (a[0] < b[0] ? -1 : 1))) {
    if (low < first && low <= last) free.push([low, lower(first - 1n, last)]);
    low = higher(low, end + 1n);
  }
  return low <= last ? [...free, [low, last]] : free;
};

/** What the iova, length and offset of an area are multiples of: anything, as long as nobody minds. */
export const alignment = (s: State, { domains, largePages }: Ioas): Bytes =>
  higher(domains.length > 0 ? s.machine.grain : 1n, largePages ? 1n : s.machine.pageSize);

/** A domain cannot translate outside its aperture; an attached device keeps some addresses for itself. */
export const reserved = (s: State, { space, domains }: Ioas): readonly Interval[] => {
  const freed = isHeld(s, space, 'frees');
  const attached = isHeld(s, space, 'reserves') || (!freed && s.devices.some(({ domain }) => domain?.space === space));
  return [...(domains.length > 0 ? s.machine.outside : []), ...(attached ? s.machine.reserved : [])];
};

/** Whether two intervals share an address. */
export const overlap = ([low, last]: Interval, [first, end]: Interval): boolean => low <= end && first <= last;

/** Whether an IOAS uses any of these addresses, or counts on them. */
export const claims = ({ areas, allowed }: Pick<Ioas, 'areas' | 'allowed'>, taken: readonly Interval[]): boolean =>
  taken.some((it) => areas.some((area) => meets(area, it[0], it[1])) || allowed.some((other) => overlap(it, other)));

/** Why `length` bytes cannot be at `iova`. */
export const clash = (s: State, ioas: Ioas, iova: Iova, length: Bytes): Refusal | undefined => {
  const end = iova + length;
  return (
    first([iova % alignment(s, ioas) !== 0n, 'EINVAL'], [end > END, 'EOVERFLOW']) ??
    first([reserved(s, ioas).some((it) => meets({ iova, length }, it[0], it[1])), 'EINVAL']) ??
    first([(ioas.areas[placeOf(ioas.areas, iova)]?.iova ?? end) < end, 'EEXIST'])
  );
};

/**
 * What is wrong with an automatic IOVA for `length` bytes, of which the first is byte `from` of a file or of user
 * space. A choice is not 0, it is allowed, and it would have been granted as a fixed one. None is made when there is no
 * room.
 */
export const misplaced = (s: State, ioas: Ioas, from: Bytes, length: Bytes, choice?: Iova): Refused => {
  const refusal = first([length >= LONG, 'EOVERFLOW'], [from % alignment(s, ioas) !== 0n, 'EINVAL']);
  if (refusal || choice === undefined) return refusal ?? first([!hasRoom(s, ioas, from, length), 'ENOSPC']);
  const err = choice === 0n ? 'EINVAL' : clash(s, ioas, choice, length)?.err;
  if (err) return { refused: `IOVA 0x${choice.toString(16)} was chosen, and as a fixed one it is ${err}` };
  const outside = forbidden(ioas).some((it) => meets({ iova: choice, length }, it[0], it[1]));
  return outside ? { refused: `IOVA 0x${choice.toString(16)} was chosen, and is not allowed` } : undefined;
};

/** Where the kernel may not choose. */
const forbidden = ({ allowed }: Ioas): readonly Interval[] => (allowed.length > 0 ? gaps(allowed, 0n, MAX) : []);

/** The kernel's own search for a hole in which they are as aligned as they are in themselves, up to 2 MiB. */
export const hasRoom = (s: State, ioas: Ioas, from: Bytes, length: Bytes): boolean => {
  const { pageSize: page } = s.machine;
  const most = lower(lower(length, HUGE), from === 0n ? HUGE : from & -from);
  let align = 1n;
  while (align < most) align *= 2n;
  const others = [...reserved(s, ioas), ...forbidden(ioas)];
  /** In a hole that begins there. The kernel does not see that a single byte would fit at its end. */
  const fits = (low: Bytes): boolean => {
    const last = (ceil(low, align) | (from % page)) + higher(length, 2n) - 1n;
    const taken = others.some((it) => overlap(it, [low, last])) || ioas.areas.some((it) => meets(it, low, last));
    return page <= low && last <= MAX - page && !taken;
  };
  return fits(page) || ioas.areas.some((it) => fits(it.iova + it.length)) || others.some((it) => fits(it[1] + 1n));
};
