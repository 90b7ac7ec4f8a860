/**
 * From a case that fails to the smallest that fails alike: the fewest threads, then the fewest commands, and then the
 * fewest preemptions that there are, because all schedules with fewer are tried.
 */
import { Exhaustive } from './exhaustive.ts';
import type { Choose, Schedule } from './interleave.ts';
import { Recorder } from './schedule.ts';
import { explore } from './strategy.ts';

export interface Case<C> {
  readonly threads: readonly (readonly C[])[];
  readonly schedule: Schedule;
}

/** Run the threads once, from a fresh world; whether that fails as the case to be shrunk does. */
export type Fails<C> = (threads: readonly (readonly C[])[], choose: Choose) => boolean;

interface Limits {
  /** Preemptions at most; whoever fails only with more keeps its schedule. */
  readonly preemptions: number;
  /** Schedules at most, of one set of threads with one number of preemptions. */
  readonly schedules: number;
}

/** The smallest case; the same one when no smaller one fails within the limits. */
export function shrink<C>(failing: Case<C>, fails: Fails<C>, limits: Limits): Case<C> {
  let best = failing;
  for (let smaller = next(best, fails, limits); smaller !== undefined; smaller = next(best, fails, limits)) {
    best = smaller;
  }
  const schedule = fewest(best.threads, fails, limits);
  return schedule === undefined ? best : { ...best, schedule };
}

/** The first of the smaller cases that fails. */
function next<C>({ threads }: Case<C>, fails: Fails<C>, limits: Limits): Case<C> | undefined {
  for (const fewer of smaller(threads)) {
    const schedule = fewest(fewer, fails, limits);
    if (schedule !== undefined) return { threads: fewer, schedule };
  }
  return undefined;
}

/** Without one thread; then without one command of one that has more. */
function* smaller<C>(threads: readonly (readonly C[])[]): Generator<readonly (readonly C[])[]> {
  if (threads.length > 1) for (const i of threads.keys()) yield threads.toSpliced(i, 1);
  for (const [i, commands] of threads.entries()) {
    if (commands.length > 1) for (const j of commands.keys()) yield threads.with(i, commands.toSpliced(j, 1));
  }
}

/**
 * A schedule under which they fail, with the fewest preemptions; among those the one with the fewest switches, and then
 * the earliest.
 */
export function fewest<C>(threads: readonly (readonly C[])[], fails: Fails<C>, limits: Limits): Schedule | undefined {
  for (let bound = 0; bound <= limits.preemptions; bound++) {
    let best: Schedule | undefined;
    explore(
      new Exhaustive(bound),
      (choose) => {
        const recorder = new Recorder(choose);
        if (fails(threads, recorder.choose) && isLess(recorder.schedule, best)) best = recorder.schedule;
      },
      limits.schedules,
    );
    if (best !== undefined) return best;
  }
  return undefined;
}

function isLess(a: Schedule, b: Schedule | undefined): boolean {
  if (b === undefined) return true;
  return a.length === b.length ? stepsIn(a) < stepsIn(b) : a.length < b.length;
}

const stepsIn = (schedule: Schedule): number => schedule.reduce((sum, { after }) => sum + after, 0);
