/** A raced fault as a trace: two threads of one call each, one of which has the fault. So it is kept, and replayed. */
import { neverCame } from '../../explore/schedule.ts';
import type { Fault, Step, Threads, Trace } from '../../trace/trace.ts';
import type { Replayed } from '../concurrent/replay.ts';
import { Divergence, showValue } from '../divergence.ts';
import { sameResult } from '../perform.ts';
import { type Regression, regressionNamed } from '../regression.ts';
import type { World } from '../world.ts';
import { Judge } from './judge.ts';
import { type Draws, type Place, type Raced, type RacedCall, race, SEQUENTIAL } from './race.ts';
import { revokeOf } from './revokes.ts';
import type { RacedBreach } from './sweep.ts';

export const regressionOfRaced = ({ it, fault, place, divergence }: RacedBreach): Regression =>
  regressionNamed(divergence.breach, divergence.details[0], (name) => traceOf(it, fault, place, name));

function traceOf(it: RacedCall, fault: Fault, { first, after }: Place, name: string): Trace {
  const { config, kernel, before, call, revoke } = it;
  const branches = [[{ command: call, fault }], [{ command: revoke.command }]];
  const schedule = after === SEQUENTIAL ? [] : [{ after, to: 1 }];
  const threads = { branches: first === 'call' ? branches : branches.reverse(), schedule };
  return { version: 2, name, kernel, machine: config, steps: before.map((command) => ({ command })), threads };
}

/** Threads that are such a race. */
export interface RacedThreads extends Pick<Threads, 'schedule'> {
  readonly call: Step & { readonly fault: Fault };
  readonly revoke: Step;
  readonly place: Place;
}

/** Undefined for all others: where several calls could meet the fault, nobody says which does. */
export function racedIn({ branches, schedule }: Threads): RacedThreads | undefined {
  const [one, other, ...more] = branches.flat();
  if (branches.length !== 2 || one === undefined || other === undefined || more.length > 0) return undefined;
  if (schedule.length > 1) return undefined;
  const place = { after: schedule[0]?.after ?? SEQUENTIAL };
  if (hasFault(one) && !hasFault(other))
    return { call: one, revoke: other, place: { first: 'call', ...place }, schedule };
  if (hasFault(other) && !hasFault(one))
    return { call: other, revoke: one, place: { first: 'revoke', ...place }, schedule };
  return undefined;
}

const hasFault = (step: Step): step is RacedThreads['call'] => step.fault !== undefined;

interface RacedReplay extends Replayed {
  /** Undefined where something is broken before it is over. */
  readonly raced: Raced | undefined;
}

/** In the state that the world has come to, which is left as it is; `draws` as of a race. */
export function replayRaced(world: World, threads: RacedThreads, draws?: Draws): RacedReplay {
  const { config, kernel, history, state } = world;
  const { call, revoke, place, schedule } = threads;
  const before = history.map(({ command }) => command);
  const it: RacedCall = { config, kernel, before, state, call: call.command, revoke: revokeOf(revoke.command) };
  let raced: Raced | undefined;
  try {
    raced = race(it, call.fault, place, draws);
    const { called, revoked, steps } = raced;
    const answered = [...unexpected('the call', call, called), ...unexpected('the revoke', revoke, revoked)];
    new Judge(it).judge(raced, call.fault, place.after);
    return { raced, wrong: answered, remark: neverCame(raced, schedule, steps.call + steps.revoke) };
  } catch (error) {
    if (!(error instanceof Divergence)) throw error;
    return { raced, wrong: [error.breach, ...error.details], remark: undefined };
  }
}

const unexpected = (who: string, { result }: Step, got: Raced['called']): string[] =>
  result === undefined || sameResult(result, got)
    ? []
    : [`${who}: expected ${showValue(result)}, got ${showValue(got)}`];
