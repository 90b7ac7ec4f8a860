/** One run, as a schedule has it. */
import { type Choose, following, type Schedule } from './interleave.ts';
import type { Strategy } from './strategy.ts';

export class Replay implements Strategy {
  readonly name = 'replay';
  readonly choose: Choose;
  #done = false;

  constructor(schedule: Schedule) {
    this.choose = following(schedule);
  }

  begin(): boolean {
    const first = !this.#done;
    this.#done = true;
    return first;
  }
}
