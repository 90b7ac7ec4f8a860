/** `shootdown check`: random sequences outside the test runner, for as long as one likes. */
import { Coverage } from '../properties/coverage.ts';
import { Digest } from '../properties/digest.ts';
import { regressionOf, reportOf } from '../properties/regression.ts';
import { checkSequences, type Report } from '../properties/sequential.ts';
import { duration, readArguments, wholeNumber } from './arguments.ts';
import { checkFaultSweeps, checkRacedFaults } from './check-faults.ts';
import { checkRawCalls } from './check-raw.ts';
import { Progress, verdictOf } from './progress.ts';
import { reportKept, tryToKeep } from './regressions.ts';
import { seedOf } from './seeds.ts';
import { UsageError } from './usage.ts';

const DEFAULT_RUNS = 2000;
/** Sequences between two looks at the clock and at Ctrl-C. */
const BATCH = 50;
const LONGEST = 200;

interface Result {
  readonly seed: number;
  readonly sequences: number;
  readonly steps: number;
  readonly seconds: number;
  readonly interrupted: boolean;
}

export async function check(args: readonly string[]): Promise<number> {
  const { values, positionals } = readArguments('check', args, {
    seed: { type: 'string' },
    runs: { type: 'string' },
    time: { type: 'string' },
    json: { type: 'boolean' },
    raw: { type: 'boolean' },
    faults: { type: 'boolean' },
    raced: { type: 'boolean' },
    calls: { type: 'string' },
  });
  if (positionals.length > 0) throw new UsageError(`check takes no files, such as "${positionals[0]}"`);
  const seed = values.seed === undefined ? freshSeed() : wholeNumber('seed', values.seed, 0);
  const limit = values.time === undefined ? undefined : duration('time', values.time);
  if (values.faults === true) {
    if (values.raw === true || values.json === true || values.calls !== undefined)
      throw new UsageError('--faults takes --raced, --seed, --runs and --time alone');
    const runs = values.runs === undefined ? undefined : wholeNumber('runs', values.runs, 1);
    return await (values.raced === true ? checkRacedFaults : checkFaultSweeps)({ seed, runs, limit });
  }
  if (values.raced === true) throw new UsageError('--raced goes with --faults');
  if (values.raw === true) {
    if (values.runs !== undefined || values.json === true)
      throw new UsageError('--raw takes --calls, not --runs or --json');
    const calls = values.calls === undefined ? undefined : wholeNumber('calls', values.calls, 1);
    return await checkRawCalls({ seed, calls, limit });
  }
  if (values.calls !== undefined) throw new UsageError('--calls goes with --raw');
  const most =
    values.runs === undefined
      ? limit === undefined
        ? DEFAULT_RUNS
        : Number.POSITIVE_INFINITY
      : wholeNumber('runs', values.runs, 1);
  const json = values.json === true;
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

/** Any that fits fast-check's 32 bits. */
const freshSeed = (): number => Math.floor(Math.random() * 2 ** 31);

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
