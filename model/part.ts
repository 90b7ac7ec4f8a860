/** What the smaller steps of commands are made of. */

import type { Errno, Result } from '../trace/answer.ts';
import { type By, type Hold, type How, isHeld } from './holds.ts';
import type { Iova, Outcome, State } from './spec.ts';

/**
 * What the kernel is free to do, as it was answered: the automatic IOVA that it chose; and whether a touch found an
 * entry, for which nobody waits.
 */
export type Freedom = Readonly<{ iova?: Iova | undefined; hit?: boolean | undefined }>;

/**
 * What a small step leads to; `waits`: it cannot be taken as long as somebody has what it needs. With an `answer` the
 * command is decided; a refusal drops the steps that were left. `next` are steps to be taken before those.
 */
export type Taken = 'waits' | Readonly<{ refused: string }> | Stepped;
export type Stepped = Readonly<{ state: State; answer?: Result | undefined; next?: readonly Part[] | undefined }>;
export type Part = Readonly<{ name: string; take: (s: State, by: By, free: Freedom) => Taken }>;

export const part = (name: string, take: Part['take']): Part => ({ name, take });
export const go = (state: State, next?: readonly Part[]): Stepped => ({ state, next });
export const end = (state: State, answer: Result, next?: readonly Part[]): Stepped => ({ state, answer, next });
export const refuse = (state: State, err: Errno, next?: readonly Part[]): Stepped => end(state, { err }, next);
export const OK: Result = { ok: {} };

/** A whole command, or what is left of one, as one step. */
export const whole = (outcome: Outcome, before: State): Taken => {
  if ('refused' in outcome) return outcome;
  return 'ok' in outcome ? end(outcome.state, { ok: outcome.ok }) : refuse(outcome.state ?? before, outcome.err);
};

export const hold = (s: State, by: By, how: How, what: Hold['what'], more: Partial<Hold> = {}): State => {
  return { ...s, holds: [...s.holds, { by, how, what, ...more }] };
};
export const drop = (s: State, by: By, how: How, what?: Hold['what']): State => {
  const goes = (it: Hold): boolean => it.by === by && it.how === how && (what === undefined || it.what === what);
  return { ...s, holds: s.holds.filter((it) => !goes(it)) };
};
/** Whether a lock is somebody else's, so that it cannot be had for writing. */
export const taken = (s: State, by: By, ...locks: readonly Hold['what'][]): boolean =>
  locks.some((what) => (['locks', 'reads', 'enters'] as const).some((how) => isHeld(s, what, how, by)));
/** Whether it cannot be had for reading. */
export const written = (s: State, by: By, lock: Hold['what']): boolean => isHeld(s, lock, 'locks', by);
