/** How areas are unmapped, whole. */

import type { Result } from '../trace/answer.ts';
import { END, MAX, placeOf } from './iova.ts';
import { CLOSED, GONE, ioasNamed } from './names.ts';
import { first, type Refusal, swap } from './outcome.ts';
import type { Area, Bytes, Do, Ioas, Iova, Outcome, State } from './spec.ts';

type Unmap = Do<'ioas_unmap'>;
const everything = ({ iova, length }: Unmap): boolean => iova === 0n && length === MAX;
const endOf = (c: Unmap): Iova => (everything(c) ? END : c.iova + c.length);
export const unasked = (ioas: Ioas, c: Unmap): Refusal | undefined =>
  first([ioas === CLOSED, 'EBADF'], [ioas === GONE, 'ENOENT']) ??
  first([!everything(c) && (c.iova === MAX || c.length === MAX), 'EOVERFLOW'], [c.length === 0n, 'EINVAL']) ??
  first([endOf(c) > END, 'EOVERFLOW']);

/**
 * An area of the range from `from` on: to be taken away, unless somebody else has it, or it sticks out; so does one
 * that somebody has placed across `from` meanwhile, partly where this very call has made room.
 */
const removable = (area: Area | undefined, c: Unmap, from: Iova): Area | Refusal | undefined => {
  const end = endOf(c);
  if (!area || end <= area.iova) return undefined;
  const out = area.iova < from || area.iova + area.length > end;
  return first([area.busy !== undefined, 'EBUSY'], [out, 'ENOENT']) ?? area;
};
/** The lowest of them. */
export const lowest = ({ areas }: Ioas, c: Unmap, from: Iova): Area | Refusal | undefined =>
  removable(areas[placeOf(areas, from)], c, from);
/** What an unmap answers that has come to the end of the range. */
export const removed = (c: Unmap, length: Bytes): Result =>
  length === 0n && !everything(c) ? { err: 'ENOENT' } : { ok: { length } };

/** Whole areas, the lowest first. One that sticks out of the range ends it, and those before it are gone by then. */
export const unmap = (s: State, c: Unmap): Outcome => {
  const ioas = ioasNamed(s, c.ioas);
  const refusal = unasked(ioas, c);
  if (refusal) return refusal;
  const start = placeOf(ioas.areas, c.iova);
  let [next, at, length] = [removable(ioas.areas[start], c, c.iova), start, 0n];
  for (; next && 'live' in next; next = removable(ioas.areas[++at], c, c.iova)) length += next.length;
  const areas = ioas.areas.toSpliced(start, at - start);
  const state = at === start ? s : { ...s, ioases: swap(s.ioases, ioas, { ...ioas, areas }) };
  return { state, ...(next ?? removed(c, length)) };
};
