/** `shootdown check --raw`: raw system calls, good and bad, for as long as one likes. */
import { checkRaw, RawTally } from '../properties/raw/raw.ts';
import type { RawBreach } from '../properties/raw/step.ts';
import { Progress, verdictOf } from './progress.ts';
import { seedOf } from './seeds.ts';

const DEFAULT_CALLS = 100_000;
/** Sequences between two looks at the clock and at Ctrl-C. */
const BATCH = 10;
/** The most calls in a sequence. */
const LONGEST = 1000;

interface Options {
  readonly seed: number;
  /** Go on until there have been so many. */
  readonly calls: number | undefined;
  /** Milliseconds. */
  readonly limit: number | undefined;
}

export async function checkRawCalls({ seed, calls, limit }: Options): Promise<number> {
  console.log(`seed ${seed}`);
  const most = calls ?? (limit === undefined ? DEFAULT_CALLS : Number.POSITIVE_INFINITY);
  const progress = new Progress(true);
  const tally = new RawTally();
  let interrupted = false;
  const stop = (): void => {
    interrupted = true;
  };
  process.once('SIGINT', stop);
  const start = performance.now();
  const seconds = (): number => (performance.now() - start) / 1000;
  let breach: RawBreach | undefined;
  for (let batch = 0; tally.calls < most && breach === undefined && !interrupted; batch++) {
    if (limit !== undefined && seconds() * 1000 >= limit) break;
    breach = checkRaw({ seed: seedOf(seed, batch), runs: BATCH, longest: LONGEST }, tally);
    progress.showLine(() => `${tally.calls} calls, ${rate(tally.calls, seconds())} calls/s, ${seconds().toFixed(0)} s`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  process.off('SIGINT', stop);
  progress.end();
  if (interrupted) console.log('interrupted');
  console.log(`${tally.calls} calls in ${seconds().toFixed(1)} s, ${rate(tally.calls, seconds())} calls/s`);
  if (breach === undefined) {
    console.log(`\n${tally.table.join('\n')}\n\n${verdictOf('nothing broken', tally.calls, interrupted)}`);
    return 0;
  }
  console.log(`\nBROKEN: ${breach.breach}, with seed ${seed}\n\n${[...breach.history, '', breach.message].join('\n')}`);
  return 1;
}

const rate = (calls: number, seconds: number): string => Math.round(calls / seconds).toLocaleString('en');
