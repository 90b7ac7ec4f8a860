/** How a command refuses, and the small changes that it makes. */

import type { Errno } from '../trace/answer.ts';
import type { Handle } from '../trace/command.ts';
import type { Bytes, Named, Outcome, State } from './spec.ts';

export type Refusal = Readonly<{ err: Errno }>;
/** The first check that applies is the answer; if none does, `??` goes on. Checks stand in their documented order. */
export const first = (...checks: readonly (readonly [when: boolean, errno: Errno])[]): Refusal | undefined => {
  for (const check of checks) if (check[0]) return { err: check[1] };
  return undefined;
};
export const done = (state: State): Outcome => ({ state, ok: {} });
export const give = (s: State, as: Handle, to?: Named): State => ({ ...s, handles: new Map(s.handles).set(as, to) });
export const swap = <T extends object>(all: readonly T[], one: T, to: Partial<T>): readonly T[] =>
  all.map((other) => (other === one ? { ...one, ...to } : other));
export const total = (parts: readonly { length: Bytes }[]): Bytes => parts.reduce((sum, it) => sum + it.length, 0n);
