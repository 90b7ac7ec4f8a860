/** Where areas go: what is taken, what is free, and what is promised of an IOVA that the kernel chooses. */

import type { Interval } from '../trace/command.ts';
import { first, type Refusal } from './outcome.ts';
import type { Area, Bytes, Ioas, Iova, Outcome, State } from './spec.ts';

/** One past the last byte. */
export const END: Bytes = 1n << 64n;
export const MAX: Bytes = END - 1n;
const HUGE = 0x20_0000n;

export const lower = (a: Bytes, b: Bytes): Bytes => (a < b ? a : b);
export const higher = (a: Bytes, b: Bytes): Bytes => (a > b ? a : b);
export const ceil = (value: Bytes, to: Bytes): Bytes => ((value + to - 1n) / to) * to;
export const meeting = (...intervals: readonly Interval[]): ((it: Pick<Area, 'iova' | 'length'>) => boolean) => {
  return ({ iova, length }) => intervals.some(([low, last]) => iova <= last && low < iova + length);
};

/** What of `[from, last]` is not taken: ascending, each as long as can be. */
export const gaps = (taken: readonly Interval[], from: Bytes, last: Bytes): readonly Interval[] => {
  const lows = new Set([from, ...taken.map(([, end]) => end + 1n)]);
  const free = [...lows].filter((iova) => iova >= from && iova <= last && !meeting(...taken)({ iova, length: 1n }));
  const end = (low: Bytes): Bytes => taken.reduce((end, [next]) => (low < next && next <= end ? next - 1n : end), last);
  return free.sort((a, b) => (a < b ? -1 : 1)).map((low) => [low, end(low)]);
};

/** An automatic domain is there while a device is in it. */
export const automatic = (s: State, { space }: Ioas): boolean => s.devices.some(({ domain }) => domain === space);
export const filled = (s: State, ioas: Ioas): boolean => ioas.domains.length > 0 || automatic(s, ioas);

/** What the iova, length and offset of an area are multiples of: anything, until there is a domain to fill. */
export const alignment = (s: State, ioas: Ioas): Bytes => (filled(s, ioas) ? s.machine.grain : 1n);

/** A domain cannot translate outside its aperture; an attached device keeps some addresses for itself. */
export const reserved = (s: State, ioas: Ioas): readonly Interval[] => {
  const attached = s.devices.some(({ domain: at }) => (at?.is === 'domain' ? at.space : at) === ioas.space);
  return [...(filled(s, ioas) ? s.machine.outside : []), ...(attached ? s.machine.reserved : [])];
};

/** Why `length` bytes cannot be at `iova`. */
export const clash = (s: State, ioas: Ioas, iova: Iova, length: Bytes): Refusal | undefined =>
  first([iova % alignment(s, ioas) !== 0n, 'EINVAL'], [iova + length > END, 'EOVERFLOW']) ??
  first([meeting(...reserved(s, ioas))({ iova, length }), 'EINVAL']) ??
  first([ioas.areas.some(meeting([iova, iova + length - 1n])), 'EEXIST']);

/**
 * What is wrong with an automatic IOVA for `length` bytes, of which the first is byte `from` of a file or of user
 * space. A choice is not 0, and it would have been granted as a fixed one. None is made when there is no room.
 */
export const misplaced = (s: State, ioas: Ioas, from: Bytes, length: Bytes, choice?: Iova): Outcome | undefined => {
  const refusal = first([length >= MAX / 2n, 'EOVERFLOW'], [from % alignment(s, ioas) !== 0n, 'EINVAL']);
  if (refusal || choice === undefined) return refusal ?? first([!hasRoom(s, ioas, from, length), 'ENOSPC']);
  const err = choice === 0n ? 'EINVAL' : clash(s, ioas, choice, length)?.err;
  return err && { refused: `IOVA 0x${choice.toString(16)} was chosen, and as a fixed one it is ${err}` };
};

/** The kernel's own search for a hole in which they are as aligned as they are in themselves, up to 2 MiB. */
const hasRoom = (s: State, ioas: Ioas, from: Bytes, length: Bytes): boolean => {
  const { pageSize: page } = s.machine;
  let align = 1n;
  while (align < lower(length, HUGE) && from % (align * 2n) === 0n) align *= 2n;
  const taken = ioas.areas.map((area): Interval => [area.iova, area.iova + area.length - 1n]);
  const holes = gaps([...reserved(s, ioas), ...taken], page, MAX - page);
  const start = (low: Bytes): Bytes => ceil(low, align) | (from % page);
  return holes.some(([low, high]) => start(low) < high && high - start(low) >= length - 1n);
};
