/** Who goes next, run after run: what all strategies have in common, and how one is driven. */
import { record } from '../impl/kernel/footprint.ts';
import type { Choose } from './interleave.ts';

export interface Strategy {
  readonly name: string;
  /** Prepare the next run; false when there is none left that would be new. */
  begin(): boolean;
  /** Asked before every step of that run. */
  readonly choose: Choose;
}

/** Thrown by a chooser: all that could follow has been seen. The run is given up, with its world. */
export class Pruned extends Error {
  override readonly name = 'Pruned';
}

export interface Explored {
  /** Runs that came to their end. */
  readonly explored: number;
  /** Runs that were given up half-way. */
  readonly pruned: number;
  /** Whether the strategy had nothing new left; not so when `most` came first. */
  readonly complete: boolean;
}

/** Call `run` until the strategy has nothing new, or `most` times. `run` makes its world anew. Fails as `run` does. */
export function explore(strategy: Strategy, run: (choose: Choose) => void, most = Number.POSITIVE_INFINITY): Explored {
  let [explored, pruned] = [0, 0];
  try {
    while (explored + pruned < most) {
      if (!strategy.begin()) return { explored, pruned, complete: true };
      if (ends(strategy, run)) explored++;
      else pruned++;
    }
  } finally {
    record(undefined);
  }
  return { explored, pruned, complete: false };
}

/** False when the run was given up. */
function ends({ choose }: Strategy, run: (choose: Choose) => void): boolean {
  try {
    run(choose);
    return true;
  } catch (error) {
    if (error instanceof Pruned) return false;
    throw error;
  }
}
