/**
 * The concurrent property: for every machine, kernel, prefix and program of two or three threads, under the schedules
 * that are asked for, nothing splats, the rules hold after every step, some order of the calls explains what they
 * answered and what is seen, both worlds agree at rest, and nothing is left when all is closed.
 */
import * as fc from 'fast-check';
import { Pct } from '../../explore/pct.ts';
import { Recorder, showSchedule } from '../../explore/schedule.ts';
import { explore, type Strategy } from '../../explore/strategy.ts';
import { Divergence } from '../divergence.ts';
import { shrinkDivergence } from '../smaller/sequence.ts';
import { newWorld, type World } from '../world.ts';
import { ConcurrentCoverage } from './coverage.ts';
import { type Drawn, programs } from './draw.ts';
import type { Failure } from './failure.ts';
import { judged } from './judge.ts';
import { beginAgain, ready } from './program.ts';
import { run } from './run.ts';
import { shrinkFailure } from './shrink.ts';

export interface ConcurrentOptions {
  readonly seed: number;
  /** How many programs. */
  readonly runs: number;
  /** A new one for each program, from a seed that was drawn with it; else PCT. */
  readonly strategy?: ((seed: number) => Strategy) | undefined;
  /** Schedules of each program, at most; else as many as `schedulesOf` says. */
  readonly schedules?: number | undefined;
}

/** As many schedules as the first run has steps, within these bounds: those of a short program are soon the same. */
const [FEWEST, MOST] = [3, 20];
export const schedulesOf = (steps: number): number => Math.min(Math.max(steps, FEWEST), MOST);
const usual = (seed: number): Strategy => new Pct({ seed, depth: 3 });

export interface ConcurrentReport {
  readonly runs: number;
  /** As small as it could be made. */
  readonly failure?: Failure;
}

/** Carries a failure out of the run in which it is met. */
class Found extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.breach);
    this.failure = failure;
  }
}

/**
 * Run programs until one fails, and shrink that. Deterministic: the same seed draws the same programs. Fails with a
 * Divergence when the worlds disagree before there are threads.
 */
export function checkPrograms(options: ConcurrentOptions, coverage = new ConcurrentCoverage()): ConcurrentReport {
  const { seed, runs, strategy = usual, schedules } = options;
  // While fast-check shrinks, nothing counts as coverage, and only the same as a failure.
  let smallest: Failure | undefined;
  const property = fc.property(programs, (drawn) => {
    if (smallest === undefined) coverage.programs++;
    const failure = failureOf(drawn, strategy(drawn.seed), schedules, smallest === undefined ? coverage : undefined);
    if (failure === undefined || (smallest !== undefined && smallest.breach !== failure.breach)) return;
    smallest = failure; // The simplest so far, because only what fails is made simpler.
    throw new Found(failure);
  });
  const { numRuns, failed, errorInstance } = fc.check(property, { seed, numRuns: runs });
  if (smallest !== undefined) return { runs: numRuns, failure: shrinkFailure(smallest) };
  if (failed) throw errorInstance instanceof Divergence ? shrinkDivergence(errorInstance, newWorld) : errorInstance;
  return { runs: numRuns };
}

/** The first schedule of the strategy under which the program fails. */
function failureOf(
  drawn: Drawn,
  strategy: Strategy,
  schedules: number | undefined,
  coverage: ConcurrentCoverage | undefined,
): Failure | undefined {
  const start = ready(drawn);
  const { program } = start;
  let fresh: World | undefined = start.world;
  let steps: number | undefined;
  const seen = new Set<string>();
  const once = (choose: Strategy['choose']): void => {
    const recorder = new Recorder(choose);
    const world = fresh ?? beginAgain(start);
    fresh = undefined;
    const ran = run(world.machine, program.branches, recorder.choose);
    steps ??= ran.steps;
    const { schedule } = recorder;
    const key = showSchedule(schedule);
    // What is done once more ends as it did.
    const known = seen.has(key) ? ran : judged(world, program.branches, ran);
    seen.add(key);
    coverage?.see(known);
    if (known.broken !== undefined) throw new Found({ program, schedule, ...known.broken });
  };
  try {
    explore(strategy, once, 1);
    explore(strategy, once, (schedules ?? schedulesOf(steps ?? 0)) - 1);
  } catch (error) {
    if (error instanceof Found) return error.failure;
    throw error;
  }
  return undefined;
}
