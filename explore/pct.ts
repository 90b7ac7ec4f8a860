/**
 * Probabilistic concurrency testing: threads have random priorities, and the highest that is ready goes on; at d - 1
 * random steps, whoever would run falls below all others. A bug that d orderings of steps bring about is found in a run
 * with a probability of at least 1 / (n k^(d - 1)), for n threads of k steps in all. Here only those steps count at
 * which more than one is ready: at others a change would make no difference, or the same as at the next.
 *
 * Source: Burckhardt, Kothari, Musuvathi, Nagarakatte: A Randomized Scheduler with Probabilistic Guarantees of Finding
 * Bugs, ASPLOS 2010
 */
import type { Choose, Situation } from './interleave.ts';
import { Prng } from './prng.ts';
import type { Strategy } from './strategy.ts';

interface PctOptions {
  readonly seed: number;
  /** d; 1 never changes a priority. */
  readonly depth: number;
  /** k, where it is known. Else it is the most steps that counted in a run so far. */
  readonly steps?: number;
}

export class Pct implements Strategy {
  readonly name: string;
  readonly #random: Prng;
  readonly #depth: number;
  /** k */
  #estimate: number;
  readonly #known: boolean;
  /** Steps of this run so far that count. */
  #step = 0;
  /** By index of the branch; drawn when a run shows how many there are. */
  readonly #priorities: number[] = [];
  /** The steps, from 1 on, before which a priority changes; two may fall on one. */
  readonly #changes: number[];

  constructor({ seed, depth, steps }: PctOptions) {
    this.name = `pct:${depth}`;
    this.#random = new Prng(seed);
    this.#depth = depth;
    this.#known = steps !== undefined;
    this.#estimate = steps ?? 1;
    this.#changes = Array.from({ length: depth - 1 }, () => 0);
  }

  begin(): boolean {
    if (!this.#known && this.#step > this.#estimate) this.#estimate = this.#step;
    this.#step = 0;
    this.#priorities.length = 0;
    for (let i = 0; i < this.#changes.length; i++) this.#changes[i] = 1 + this.#random.below(this.#estimate);
    return true;
  }

  readonly choose: Choose = (queueLength, at) => {
    if (queueLength === 1) return 0;
    if (this.#priorities.length === 0) this.#draw(at.runs.length);
    this.#step++;
    let place = this.#highest(queueLength, at);
    for (let i = 0; i < this.#changes.length; i++) {
      if (this.#changes[i] !== this.#step) continue;
      this.#priorities[at.queue[place] as number] = i;
      place = this.#highest(queueLength, at);
    }
    return place;
  };

  /** A random order of the branches, all above what a change makes of one. */
  #draw(branches: number): void {
    for (let i = 0; i < branches; i++) {
      const other = this.#random.below(i + 1);
      this.#priorities[i] = this.#priorities[other] ?? 0;
      this.#priorities[other] = this.#depth - 1 + i;
    }
  }

  #highest(queueLength: number, { queue }: Situation): number {
    let best = 0;
    for (let i = 1; i < queueLength; i++) if (this.#of(queue[i]) > this.#of(queue[best])) best = i;
    return best;
  }

  #of(branch: number | undefined): number {
    return this.#priorities[branch as number] as number;
  }
}
