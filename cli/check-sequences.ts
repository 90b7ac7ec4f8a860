/** `shootdown check`: random sequences outside the test runner, for as long as one likes. */
import { Coverage } from '../properties/coverage.ts';
import { Digest } from '../properties/digest.ts';
import { regressionOf, reportOf } from '../properties/regression.ts';
import { checkSequences, type Report } from '../properties/sequential.ts';
import { Progress, verdictOf } from './progress.ts';
import { reportKept, tryToKeep } from './regressions.ts';
import { seedOf } from './seeds.ts';

const DEFAULT_RUNS = 2000;
/** Sequences between two looks at the clock and at Ctrl-C. */
const BATCH = 50;
const LONGEST = 200;

interface Options {
  readonly seed: number;
  /** How many sequences. */
  readonly runs: number | undefined;
  /** Milliseconds. */
  readonly limit: number | undefined;
  readonly json: boolean;
}

interface Result {
  readonly seed: number;
  readonly sequences: number;
  readonly steps: number;
  readonly seconds: number;
  readonly interrupted: boolean;
}

export async function checkRandomSequences({ seed, runs, limit, json }: Options): Promise<number> {
  const most = runs ?? (limit === undefined ? DEFAULT_RUNS : Number.POSITIVE_INFINITY);
  // Said first, so that a run that does not end can be repeated; standard output is all JSON if that was asked for.
  if (json) console.error(`seed ${seed}`);
  else console.log(`seed ${seed}`);
  const coverage = new Coverage();
  const digest = json ? new Digest() : undefined;
  const { report, result } = await run({ seed, most, limit, coverage, progress: new Progress(!json), digest });
  if (json) console.log(JSON.stringify({ ...asJson(result, coverage, report), digest: digest?.hex }));
  else print(result, coverage, report);
  return report?.failure === undefined ? 0 : 1;
}

interface Run {
  readonly seed: number;
  readonly most: number;
  /** Milliseconds. */
  readonly limit: number | undefined;
  readonly coverage: Coverage;
  readonly progress: Progress;
  readonly digest: Digest | undefined;
}

async function run(it: Run): Promise<{ report: Report | undefined; result: Result }> {
  const { seed, most, limit, coverage, progress, digest } = it;
  let interrupted = false;
  const stop = (): void => {
    interrupted = true;
  };
  process.once('SIGINT', stop);
  const start = performance.now();
  let sequences = 0;
  let report: Report | undefined;
  for (let batch = 0; sequences < most && !interrupted; batch++) {
    if (limit !== undefined && performance.now() - start >= limit) break;
    const runs = Math.min(BATCH, most - sequences);
    report = checkSequences({ seed: seedOf(seed, batch), runs, longest: LONGEST, digest }, coverage);
    sequences += report.runs;
    if (report.failure !== undefined) break;
    progress.show(sequences, coverage, (performance.now() - start) / 1000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  process.off('SIGINT', stop);
  progress.end();
  const seconds = (performance.now() - start) / 1000;
  return { report, result: { seed, sequences, steps: coverage.steps, seconds, interrupted } };
}

function print(result: Result, coverage: Coverage, report: Report | undefined): void {
  const { sequences, steps, seconds, interrupted } = result;
  if (interrupted) console.log('interrupted');
  console.log(`${sequences} sequences, ${steps} steps in ${seconds.toFixed(1)} s`);
  const failure = report?.failure;
  if (failure === undefined) {
    console.log(`\n${coverage.table.join('\n')}\n\n${verdictOf('no disagreement', sequences, interrupted)}`);
  } else {
    const { divergence } = failure;
    const lines = reportKept(tryToKeep(regressionOf(divergence)), (file) => reportOf(divergence, file));
    console.log(`\n${lines.join('\n')}`);
  }
}

function asJson(result: Result, coverage: Coverage, report: Report | undefined): object {
  const failure = report?.failure;
  return {
    ...result,
    coverage: Object.fromEntries(coverage.pairs),
    witnesses: Object.fromEntries(coverage.witnessed),
    failure: failure && {
      breach: failure.divergence.breach,
      details: failure.divergence.details,
      steps: failure.divergence.world?.history.length,
      ...tryToKeep(regressionOf(failure.divergence)),
    },
  };
}
