import { newIdentity, read, touches } from './footprint.ts';
import { destroyedBy } from './mutex.ts';
import { Splat } from './splat.ts';
import { running, type Task, type WaitPoint } from './thread.ts';

/** wait_for_completion(): `yield` it to sleep until somebody completes it. */
export class Completion implements WaitPoint {
  readonly name: string;
  /** What somebody must do before it is complete, for a report. */
  readonly blockedBy: () => string;
  #done = false;
  /** Who destroyed it. */
  #destroyedBy: string | undefined;
  readonly #identity = newIdentity();
  readonly footprint = read(this.#identity);

  constructor(name: string, blockedBy: () => string = () => 'whoever must complete it') {
    this.name = name;
    this.blockedBy = blockedBy;
  }

  /** Whoever waits for one that is gone shall be told. */
  ready(): boolean {
    return this.#done || this.#destroyedBy !== undefined;
  }

  enter(task: Task): void {
    this.#assertAlive('waits for', task);
  }

  complete(): void {
    touches(this.#identity);
    this.#assertAlive('completes');
    this.#done = true;
  }

  /** reinit_completion() */
  reset(): void {
    touches(this.#identity);
    this.#assertAlive('re-arms');
    this.#done = false;
  }

  /** It goes with what it is a part of. */
  destroy(): void {
    this.#destroyedBy = destroyedBy(this, [], this.#destroyedBy);
  }

  #assertAlive(does: string, task = running()): void {
    const by = this.#destroyedBy;
    if (by === undefined) return;
    const who = task?.name ?? 'an observer';
    throw new Splat('use after free', `${who} ${does} ${this.name} after it was freed by ${by}`);
  }
}
