/** `shootdown race --random`: random programs of two and three threads, for as long as one likes. */
import { ConcurrentCoverage } from '../properties/concurrent/coverage.ts';
import { regressionOfFailure, tell } from '../properties/concurrent/failure.ts';
import { type ConcurrentReport, checkPrograms } from '../properties/concurrent/property.ts';
import { Divergence } from '../properties/divergence.ts';
import { type Regression, regressionOf, reportOf } from '../properties/regression.ts';
import { Progress, verdictOf } from './progress.ts';
import { reportKept, tryToKeep } from './regressions.ts';
import { seedOf } from './seeds.ts';
import type { Chooses } from './strategies.ts';

const DEFAULT_PROGRAMS = 5000;
/** Programs between two looks at the clock and at Ctrl-C; with a strategy it is one, which takes longer. */
const BATCH = 50;
/** Schedules of each program, under a strategy. */
const SCHEDULES = 100;

interface Options {
  readonly seed: number;
  /** How many programs. */
  readonly runs: number | undefined;
  /** Milliseconds. */
  readonly limit: number | undefined;
  /** The one schedule that is drawn with each program, where there is none. */
  readonly chooses: Chooses | undefined;
}

export async function raceRandom(options: Options): Promise<number> {
  console.log(`seed ${options.seed}`);
  const coverage = new ConcurrentCoverage();
  let report: Searched;
  try {
    report = await search(options, coverage);
  } catch (error) {
    // The worlds disagreed while there was one thread.
    if (!(error instanceof Divergence)) throw error;
    return printKept(regressionOf(error), (file) => reportOf(error, file));
  }
  const { failure, interrupted } = report;
  if (failure !== undefined) return printKept(regressionOfFailure(failure), (file) => tell(failure, file));
  console.log(`\n${coverage.table.join('\n')}\n\n${verdictOf('nothing broken', coverage.programs, interrupted)}`);
  return 0;
}

function printKept(regression: Regression, report: (file: string | undefined) => readonly string[]): number {
  console.log(`\n${reportKept(tryToKeep(regression), report).join('\n')}`);
  return 1;
}

interface Searched {
  readonly failure: ConcurrentReport['failure'];
  readonly interrupted: boolean;
}

/** Until one fails, all are done, or the time is up; says what was done, also when it is interrupted. */
async function search({ seed, runs, limit, chooses }: Options, coverage: ConcurrentCoverage): Promise<Searched> {
  const most = runs ?? (limit === undefined ? DEFAULT_PROGRAMS : Number.POSITIVE_INFINITY);
  const progress = new Progress(true);
  let interrupted = false;
  const stop = (): void => {
    interrupted = true;
  };
  process.once('SIGINT', stop);
  const start = performance.now();
  const seconds = (): string => ((performance.now() - start) / 1000).toFixed(1);
  const done = (): string => `${coverage.programs} programs, ${coverage.schedules} schedules, ${coverage.steps} steps`;
  let failure: ConcurrentReport['failure'];
  for (let batch = 0; coverage.programs < most && failure === undefined && !interrupted; batch++) {
    if (limit !== undefined && performance.now() - start >= limit) break;
    const from = seedOf(seed, batch);
    const now = Math.min(chooses === undefined ? BATCH : 1, most - coverage.programs);
    const strategy = chooses && (() => chooses.make(from));
    failure = checkPrograms({ seed: from, runs: now, strategy, schedules: SCHEDULES }, coverage).failure;
    progress.showLine(() => `${done()}, ${seconds()} s`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  process.off('SIGINT', stop);
  progress.end();
  if (interrupted) console.log('interrupted');
  console.log(`${done()} in ${seconds()} s`);
  return { failure, interrupted };
}
