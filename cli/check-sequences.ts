/** `shootdown check`: random sequences outside the test runner, for as long as one likes. */
import { Coverage } from '../properties/coverage.ts';
import { Digest } from '../properties/digest.ts';
import { regressionOf, reportOf } from '../properties/regression.ts';
import { checkSequences, type Report } from '../properties/sequential.ts';
import { verdictOf } from './progress.ts';
import { reportKept, tryToKeep } from './regressions.ts';
import { mostOf, searchUntil, type Wanted } from './search.ts';
import { seedOf } from './seeds.ts';

const DEFAULT_RUNS = 2000;
/** Sequences in a batch. */
const BATCH = 50;
const LONGEST = 200;

interface Options extends Wanted {
  readonly json: boolean;
}

type Failure = Report['failure'];

interface Result {
  readonly seed: number;
  readonly sequences: number;
  readonly steps: number;
  readonly seconds: number;
  readonly interrupted: boolean;
}

export async function checkRandomSequences({ seed, runs, limit, json }: Options): Promise<number> {
  const most = mostOf(runs, limit, DEFAULT_RUNS);
  // Said first, so that a run that does not end can be repeated; standard output is all JSON if that was asked for.
  if (json) console.error(`seed ${seed}`);
  else console.log(`seed ${seed}`);
  const coverage = new Coverage();
  const digest = json ? new Digest() : undefined;
  const { failure, result } = await run({ seed, most, limit, coverage, digest });
  if (json) console.log(JSON.stringify({ ...asJson(result, coverage, failure), digest: digest?.hex }));
  else print(result, coverage, failure);
  return failure === undefined ? 0 : 1;
}

interface Run {
  readonly seed: number;
  readonly most: number;
  /** Milliseconds. */
  readonly limit: number | undefined;
  readonly coverage: Coverage;
  /** There when standard output is all JSON. */
  readonly digest: Digest | undefined;
}

async function run({ seed, most, limit, coverage, digest }: Run): Promise<{ failure: Failure; result: Result }> {
  let sequences = 0;
  const { failure, interrupted, seconds } = await searchUntil({
    most,
    limit,
    done: () => sequences,
    batch: (number) => {
      const runs = Math.min(BATCH, most - sequences);
      const report = checkSequences({ seed: seedOf(seed, number), runs, longest: LONGEST, digest }, coverage);
      sequences += report.runs;
      return report.failure;
    },
    line: (seconds) => progressOf(sequences, coverage, seconds),
    quiet: digest !== undefined,
  });
  return { failure, result: { seed, sequences, steps: coverage.steps, seconds, interrupted } };
}

function progressOf(sequences: number, coverage: Coverage, seconds: number): string {
  const rate = Math.round(coverage.steps / seconds).toLocaleString('en');
  const seen = Math.floor(coverage.share * 100);
  return `${sequences} sequences, ${rate} steps/s, coverage ${seen} %, ${seconds.toFixed(0)} s`;
}

function print(result: Result, coverage: Coverage, failure: Failure): void {
  const { sequences, steps, seconds, interrupted } = result;
  console.log(`${sequences} sequences, ${steps} steps in ${seconds.toFixed(1)} s`);
  if (failure === undefined) {
    console.log(`\n${coverage.table.join('\n')}\n\n${verdictOf('no disagreement', sequences, interrupted)}`);
  } else {
    const lines = reportKept(tryToKeep(regressionOf(failure)), (file) => reportOf(failure, file));
    console.log(`\n${lines.join('\n')}`);
  }
}

function asJson(result: Result, coverage: Coverage, failure: Failure): object {
  return {
    ...result,
    coverage: Object.fromEntries(coverage.pairs),
    witnesses: Object.fromEntries(coverage.witnessed),
    failure: failure && {
      breach: failure.breach,
      details: failure.details,
      steps: failure.world?.history.length,
      ...tryToKeep(regressionOf(failure)),
    },
  };
}
