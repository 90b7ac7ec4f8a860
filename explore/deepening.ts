/** Without a preemption, then with one, with two, and then all orders that make a difference: the simplest first. */
import { Exhaustive } from './exhaustive.ts';
import type { Choose } from './interleave.ts';
import { Reduced } from './reduced.ts';
import type { Strategy } from './strategy.ts';

export class Deepening implements Strategy {
  readonly name = 'deepening';
  readonly #levels: Strategy[] = [new Exhaustive(0), new Exhaustive(1), new Exhaustive(2), new Reduced()];

  begin(): boolean {
    while (this.#levels[0]?.begin() === false) this.#levels.shift();
    return this.#levels.length > 0;
  }

  readonly choose: Choose = (queueLength, at) => (this.#levels[0] as Strategy).choose(queueLength, at);
}
