/** A search in batches: until something fails, enough is done, the time is up, or somebody presses Ctrl-C. */
import { Progress } from './progress.ts';

/** What a search is asked for. */
export interface Wanted {
  readonly seed: number;
  /** How much of what it searches, if that is said. */
  readonly runs: number | undefined;
  /** Milliseconds. */
  readonly limit: number | undefined;
}

export interface Batches<F> {
  /** Until so many are done. */
  readonly most: number;
  readonly done: () => number;
  /** Milliseconds. */
  readonly limit: number | undefined;
  /** The next one, counted from 0; what failed in it. */
  readonly batch: (number: number) => F | undefined;
  /** How far it has come, for a terminal. */
  readonly line: (seconds: number) => string;
  /** Nothing is printed: standard output is somebody else's. */
  readonly quiet?: boolean;
}

export interface Searched<F> {
  readonly failure: F | undefined;
  readonly interrupted: boolean;
  readonly seconds: number;
}

/** Between two batches there is time to look at the clock and at Ctrl-C. Fails as the batches do. */
export async function searchUntil<F>({
  most,
  done,
  limit,
  batch,
  line,
  quiet = false,
}: Batches<F>): Promise<Searched<F>> {
  const progress = new Progress(!quiet);
  let interrupted = false;
  const stop = (): void => {
    interrupted = true;
  };
  process.once('SIGINT', stop);
  const start = performance.now();
  const seconds = (): number => (performance.now() - start) / 1000;
  const isOver = (): boolean => interrupted || (limit !== undefined && performance.now() - start >= limit);
  let failure: F | undefined;
  try {
    for (let number = 0; done() < most && failure === undefined && !isOver(); number++) {
      failure = batch(number);
      progress.showLine(() => line(seconds()));
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    process.off('SIGINT', stop);
    progress.end();
  }
  if (interrupted && !quiet) console.log('interrupted');
  return { failure, interrupted, seconds: seconds() };
}

/** How many are wanted: as many as fit, where only the time is limited. */
export const mostOf = (wanted: number | undefined, limit: number | undefined, usual: number): number =>
  wanted ?? (limit === undefined ? usual : Number.POSITIVE_INFINITY);
