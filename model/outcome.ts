/** How a command refuses, and the small changes that it makes. */

import type { Errno } from '../trace/answer.ts';
import type { Handle } from '../trace/command.ts';
import type { Bytes, Named, Outcome, State } from './spec.ts';

export type Refusal = Readonly<{ err: Errno }>;
/** Or what the kernel chose is wrong. */
export type Refused = Refusal | Readonly<{ refused: string }> | undefined;
/** The first check that applies is the answer; if none does, `??` goes on. Checks stand in their documented order. */
export const first = (a: Check, b?: Check, c?: Check): Refusal | undefined => {
  if (a[0]) return { err: a[1] };
  if (b?.[0]) return { err: b[1] };
  return c?.[0] ? { err: c[1] } : undefined;
};
type Check = readonly [when: boolean, errno: Errno];
/** The first of them that is refused decides. */
export const firstOf = <T>(all: readonly T[], check: (it: T) => Refusal | undefined): Refusal | undefined =>
  all.reduce<Refusal | undefined>((refusal, it) => refusal ?? check(it), undefined);
export const done = (state: State): Outcome => ({ state, ok: {} });
export const give = (s: State, as: Handle, to?: Named): State => ({ ...s, handles: new Map(s.handles).set(as, to) });
export const swap = <T>(all: readonly T[], one: T, to: NoInfer<T>): readonly T[] =>
  all.map((it) => (it === one ? to : it));
export const total = (parts: readonly { length: Bytes }[]): Bytes => parts.reduce((sum, it) => sum + it.length, 0n);
