import { newIdentity, read, touches } from './footprint.ts';
import type { WaitPoint } from './thread.ts';

/** wait_for_completion(): `yield` it to sleep until somebody completes it. */
export class Completion implements WaitPoint {
  readonly name: string;
  /** What somebody must do before it is complete, for a report. */
  readonly blockedBy: () => string;
  #done = false;
  readonly #identity = newIdentity();
  readonly footprint = read(this.#identity);

  constructor(name: string, blockedBy: () => string = () => 'whoever must complete it') {
    this.name = name;
    this.blockedBy = blockedBy;
  }

  ready(): boolean {
    return this.#done;
  }

  enter(): void {}

  complete(): void {
    touches(this.#identity);
    this.#done = true;
  }

  /** reinit_completion() */
  reset(): void {
    touches(this.#identity);
    this.#done = false;
  }
}
