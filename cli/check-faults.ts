/** `shootdown check --faults`: sweeps of faults, for as long as one likes. */
import { FaultCoverage } from '../properties/faults/coverage.ts';
import { checkFaults } from '../properties/faults/property.ts';
import { reportOf } from '../properties/regression.ts';
import { Progress } from './progress.ts';
import { keep } from './regressions.ts';
import { seedOf } from './seeds.ts';

const DEFAULT_SWEEPS = 2000;
/** Sweeps between two looks at the clock and at Ctrl-C. */
const BATCH = 25;
/** The most commands before the one that fails. */
const LONGEST = 60;

interface Options {
  readonly seed: number;
  /** How many sweeps. */
  readonly runs: number | undefined;
  /** Milliseconds. */
  readonly limit: number | undefined;
}

export async function checkFaultSweeps({ seed, runs, limit }: Options): Promise<number> {
  console.log(`seed ${seed}`);
  const most = runs ?? (limit === undefined ? DEFAULT_SWEEPS : Number.POSITIVE_INFINITY);
  const progress = new Progress(true);
  const coverage = new FaultCoverage();
  let interrupted = false;
  const stop = (): void => {
    interrupted = true;
  };
  process.once('SIGINT', stop);
  const start = performance.now();
  const seconds = (): string => ((performance.now() - start) / 1000).toFixed(1);
  let failure: ReturnType<typeof checkFaults>['failure'];
  for (let batch = 0; coverage.sweeps < most && failure === undefined && !interrupted; batch++) {
    if (limit !== undefined && performance.now() - start >= limit) break;
    const now = Math.min(BATCH, most - coverage.sweeps);
    failure = checkFaults({ seed: seedOf(seed, batch), runs: now, longest: LONGEST }, coverage).failure;
    progress.showLine(() => `${coverage.sweeps} sweeps, ${coverage.faults} faults, ${seconds()} s`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  process.off('SIGINT', stop);
  progress.end();
  if (interrupted) console.log('interrupted');
  console.log(`${coverage.sweeps} sweeps, ${coverage.faults} faults in ${seconds()} s`);
  if (failure === undefined) {
    console.log(`\n${coverage.table.join('\n')}\n\nno disagreement`);
    return 0;
  }
  console.log(`\n${reportOf(failure, keep(failure)).join('\n')}`);
  return 1;
}
