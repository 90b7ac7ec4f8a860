/** `shootdown race --random`: random programs of two and three threads, for as long as one likes. */
import { ConcurrentCoverage } from '../properties/concurrent/coverage.ts';
import { type Failure, regressionOfFailure, tell } from '../properties/concurrent/failure.ts';
import { checkPrograms } from '../properties/concurrent/property.ts';
import { Divergence } from '../properties/divergence.ts';
import { type Regression, regressionOf, reportOf } from '../properties/regression.ts';
import { verdictOf } from './progress.ts';
import { reportKept, tryToKeep } from './regressions.ts';
import { mostOf, type Searched, searchUntil, type Wanted } from './search.ts';
import { seedOf } from './seeds.ts';
import type { Chooses } from './strategies.ts';

const DEFAULT_PROGRAMS = 5000;
/** Programs in a batch. */
const BATCH = 5;
/** Schedules of each program, under a strategy that was asked for. */
const MOST_SCHEDULES = 100;

interface Options extends Wanted {
  /** A few schedules of PCT, where there is none. */
  readonly chooses: Chooses | undefined;
}

export async function raceRandom(options: Options): Promise<number> {
  console.log(`seed ${options.seed}`);
  const coverage = new ConcurrentCoverage();
  let report: Searched<Failure>;
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

/** Until one fails, all are done, or the time is up; says what was done, also when it is interrupted. */
async function search(options: Options, coverage: ConcurrentCoverage): Promise<Searched<Failure>> {
  const { seed, runs, limit, chooses } = options;
  const most = mostOf(runs, limit, DEFAULT_PROGRAMS);
  const done = (): string => `${coverage.programs} programs, ${coverage.schedules} schedules, ${coverage.steps} steps`;
  const searched = await searchUntil({
    most,
    limit,
    done: () => coverage.programs,
    batch: (number) => {
      const now = Math.min(BATCH, most - coverage.programs);
      const schedules = chooses && MOST_SCHEDULES;
      const options = { seed: seedOf(seed, number), runs: now, strategy: chooses?.make, schedules };
      return checkPrograms(options, coverage).failure;
    },
    line: (seconds) => `${done()}, ${seconds.toFixed(1)} s`,
  });
  console.log(`${done()} in ${searched.seconds.toFixed(1)} s`);
  return searched;
}
