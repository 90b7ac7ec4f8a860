/** One run, as a schedule has it. */
import { type Choose, Follower, type Schedule } from './interleave.ts';
import type { Strategy } from './strategy.ts';

export class Replay implements Strategy {
  readonly name = 'replay';
  readonly follower: Follower;
  readonly choose: Choose;
  #done = false;

  constructor(schedule: Schedule) {
    this.follower = new Follower(schedule);
    this.choose = this.follower.choose;
  }

  begin(): boolean {
    const first = !this.#done;
    this.#done = true;
    return first;
  }
}
