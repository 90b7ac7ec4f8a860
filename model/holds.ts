/**
 * What a command under way has of the state: that it uses something, which therefore stays; that it has a lock, for
 * which others wait; that something is half done. With its end it lets go of all.
 */

import type { Area, Iova, State } from './spec.ts';

/** Who: a command under way, by a number that is its own. */
export type By = number;
/**
 * - `uses` an object, a context, an opening or a buffer: it is not destroyed, or let go of, meanwhile
 * - `inherits` an open file: the process has forked, and its child has yet to close all that it got; or is mapping it
 * - `locks` or `reads`: a lock, by name; of a space it is domains_rwsem, and for writing iova_rwsem, too
 * - `enters`: memory_lock, but the CPU still reaches what it did
 * - `reserves`: what a device that is about to enter, or has just left, a space keeps for itself in there; `frees`:
 *   that is given back although the device has not left yet
 * - `removes`: an object that nobody finds any more, and whose effects are still there
 * - `fills`: a domain, of which so far only the areas that begin in `filled` are mapped
 * - `keeps`: what the CPU still reaches of a buffer that is revoked
 * - `has` areas that are in no space yet, by the pages that they are to show
 */
export type How =
  | 'uses'
  | 'inherits'
  | 'locks'
  | 'reads'
  | 'enters'
  | 'reserves'
  | 'frees'
  | 'removes'
  | 'fills'
  | 'keeps'
  | 'has';
export type Hold = Readonly<{ by: By; how: How; what: object | string }> &
  Readonly<{ filled?: readonly [from: Iova, to: Iova]; areas?: readonly Area[] }>;

/** Whether anybody but `by` holds it so. */
export const isHeld = (s: State, what: object | string, how: How, by?: By): boolean => {
  for (const it of s.holds) if (it.what === what && it.how === how && it.by !== by) return true;
  return false;
};
