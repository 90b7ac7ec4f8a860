/** Before every step, each thread that is ready is as likely as any other. */
import type { Choose } from './interleave.ts';
import { Prng } from './prng.ts';
import type { Strategy } from './strategy.ts';

export class RandomWalk implements Strategy {
  readonly name = 'random';
  readonly choose: Choose;

  constructor(seed: number) {
    const random = new Prng(seed);
    this.choose = (queueLength) => (queueLength === 1 ? 0 : random.below(queueLength));
  }

  begin(): boolean {
    return true;
  }
}
