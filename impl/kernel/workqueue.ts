/** Work that is put off: a kernel thread of its own does it later. Whoever drives threads takes it from the queue. */
import { LOCKLESS, touches } from './footprint.ts';
import type { Thread, WaitPoint } from './thread.ts';

/** `work_struct`. `yield` it for `flush_work()`: to sleep until it is done, if it was queued at all. */
export class Work implements WaitPoint {
  readonly name: string;
  readonly #run: () => Thread;
  #pending = false;

  constructor(name: string, run: () => Thread) {
    this.name = name;
    this.#run = run;
  }

  ready(): boolean {
    return !this.#pending;
  }

  enter(): void {}

  blockedBy(): string {
    return this.name;
  }

  /** From now on there is something to wait for; false when there was before. */
  arm(): boolean {
    touches(LOCKLESS);
    const idle = !this.#pending;
    this.#pending = true;
    return idle;
  }

  /** What the worker does. */
  *thread(): Thread {
    yield* this.#run();
    touches(LOCKLESS);
    this.#pending = false;
  }
}

/** `workqueue_struct`, of which every work runs at once. */
export class Workqueue {
  readonly #queued: Work[] = [];

  /** `queue_work()`: false when it is queued already, or runs. Takes no lock, and so may be called under any. */
  queue(work: Work): boolean {
    if (!work.arm()) return false;
    this.#queued.push(work);
    return true;
  }

  get empty(): boolean {
    return this.#queued.length === 0;
  }

  /** The oldest work that no worker has taken. */
  take(): Work | undefined {
    touches(LOCKLESS);
    return this.#queued.shift();
  }
}
