/** `shootdown check --raw`: raw system calls, good and bad, for as long as one likes. */
import { checkRaw, RawTally } from '../properties/raw/raw.ts';
import type { RawBreach } from '../properties/raw/step.ts';
import { verdictOf } from './progress.ts';
import { mostOf, searchUntil } from './search.ts';
import { seedOf } from './seeds.ts';

const DEFAULT_CALLS = 100_000;
/** Sequences in a batch. */
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
  const tally = new RawTally();
  const {
    failure: breach,
    interrupted,
    seconds,
  } = await searchUntil<RawBreach>({
    most: mostOf(calls, limit, DEFAULT_CALLS),
    limit,
    done: () => tally.calls,
    batch: (number) => checkRaw({ seed: seedOf(seed, number), runs: BATCH, longest: LONGEST }, tally),
    line: (seconds) => `${tally.calls} calls, ${rate(tally.calls, seconds)} calls/s, ${seconds.toFixed(0)} s`,
  });
  console.log(`${tally.calls} calls in ${seconds.toFixed(1)} s, ${rate(tally.calls, seconds)} calls/s`);
  if (breach === undefined) {
    console.log(`\n${tally.table.join('\n')}\n\n${verdictOf('nothing broken', tally.calls, interrupted)}`);
    return 0;
  }
  console.log(`\nBROKEN: ${breach.breach}, with seed ${seed}\n\n${[...breach.history, '', breach.message].join('\n')}`);
  return 1;
}

const rate = (calls: number, seconds: number): string => Math.round(calls / seconds).toLocaleString('en');
