/**
 * Every schedule there is, depth first, or every one with at most so many preemptions. A thread cannot be copied
 * half-way, so each run starts from a fresh world.
 */
import type { Choose, Situation } from './interleave.ts';
import type { Strategy } from './strategy.ts';

/** A run that met other choices than the one whose beginning it repeats proves nothing. */
export class NotDeterministic extends Error {
  override readonly name = 'NotDeterministic';
}

interface Choice {
  place: number;
  readonly places: number;
}

/** To switch from a thread that waits is free; from one that could go on, it is a preemption. */
export class Exhaustive implements Strategy {
  readonly name: string;
  readonly #bound: number;
  readonly #path: Choice[] = [];
  #depth = 0;
  #preemptions = 0;
  #runs = 0;

  constructor(bound = Number.POSITIVE_INFINITY) {
    this.name = bound === Number.POSITIVE_INFINITY ? 'exhaustive' : `exhaustive:${bound}`;
    this.#bound = bound;
  }

  begin(): boolean {
    if (this.#runs++ > 0 && !this.#advance()) return false;
    this.#depth = 0;
    this.#preemptions = 0;
    return true;
  }

  readonly choose: Choose = (queueLength, at) => {
    if (this.#bound === Number.POSITIVE_INFINITY) return this.pick(queueLength);
    const preempts = goesOn(at);
    if (preempts && this.#preemptions === this.#bound) return 0;
    const place = this.pick(queueLength);
    if (preempts && place > 0) this.#preemptions++;
    return place;
  };

  /** The next choice on the path, or the first of a new one. */
  pick(places: number): number {
    if (this.#depth === this.#path.length) this.#path.push({ place: 0, places });
    const choice = this.#path[this.#depth++] as Choice;
    if (choice.places === places) return choice.place;
    throw new NotDeterministic(`choice ${this.#depth} was among ${choice.places}, and is among ${places} now`);
  }

  /** To the next path: the last choice that has one left changes. */
  #advance(): boolean {
    const path = this.#path;
    if (this.#depth < path.length) {
      throw new NotDeterministic(`a run ended after ${this.#depth} of ${path.length} choices`);
    }
    while (path.length > 0 && isLast(path.at(-1) as Choice)) path.pop();
    const branching = path.at(-1);
    if (branching === undefined) return false;
    branching.place++;
    return true;
  }
}

const isLast = ({ place, places }: Choice): boolean => place + 1 === places;

/** Whoever ran last is ready, and so comes first in the queue. */
export const goesOn = ({ queue, last }: Situation): boolean => last >= 0 && queue[0] === last;

/**
 * Call `run` once for every sequence of choices, each time with a chooser that leads it down another; how many there
 * were. `run` makes its world anew, and asks the chooser all it wants to know.
 */
export function exhaust(run: (choose: (queueLength: number) => number) => void): number {
  const all = new Exhaustive();
  let runs = 0;
  for (; all.begin(); runs++) run((places) => all.pick(places));
  return runs;
}
