/** Everybody in turn for so many steps: 1, then 2, until one more makes no difference; each branch is first once. */
import type { Choose } from './interleave.ts';
import type { Strategy } from './strategy.ts';

export class RoundRobin implements Strategy {
  readonly name = 'round-robin';
  #quantum = 1;
  #first = -1;
  #branches = 0;
  /** Steps of the thread that runs, since it began to. */
  #ran = 0;
  /** Whether anybody was interrupted with this quantum. */
  #interrupted = false;

  begin(): boolean {
    this.#first++;
    this.#ran = 0;
    if (this.#first < this.#branches || this.#branches === 0) return true;
    if (!this.#interrupted) return false;
    this.#interrupted = false;
    this.#first = 0;
    this.#quantum++;
    return true;
  }

  readonly choose: Choose = (queueLength, { runs, queue, last }) => {
    this.#branches = runs.length;
    if (last < 0) {
      this.#ran = 1;
      return this.#first % queueLength;
    }
    const goesOn = queue[0] === last;
    if (goesOn && (this.#ran < this.#quantum || queueLength === 1)) {
      this.#ran++;
      return 0;
    }
    this.#ran = 1;
    if (!goesOn) return 0;
    this.#interrupted = true;
    return 1;
  };
}
