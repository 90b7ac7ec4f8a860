import type { WaitPoint } from './thread.ts';

/** wait_for_completion(): `yield` it to sleep until somebody completes it. */
export class Completion implements WaitPoint {
  readonly name: string;
  #done = false;

  constructor(name: string) {
    this.name = name;
  }

  ready(): boolean {
    return this.#done;
  }

  enter(): void {}

  complete(): void {
    this.#done = true;
  }

  /** reinit_completion() */
  reset(): void {
    this.#done = false;
  }

  blockedBy(): string {
    return 'whoever must complete it';
  }
}
