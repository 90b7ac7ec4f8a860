/** Work that is put off: a kernel thread of its own does it later. Whoever drives threads takes it from the queue. */
import { LOCKLESS, newIdentity, read, touches } from './footprint.ts';
import { type HeldLock, lockClassId } from './lockdep.ts';
import { unhold } from './mutex.ts';
import { current, type Task, type Thread, type WaitPoint } from './thread.ts';

/** `work_struct`. `yield` it for `flush_work()`: to sleep until it is done, if it was queued at all. */
export class Work implements WaitPoint, HeldLock {
  readonly name: string;
  readonly classId = lockClassId('work');
  readonly footprint = read(newIdentity());
  readonly #run: () => Thread;
  #pending = false;
  /** The task that does it, from its begin to its end. */
  #worker: Task | undefined;

  constructor(name: string, run: () => Thread) {
    this.name = name;
    this.#run = run;
  }

  ready(): boolean {
    return !this.#pending;
  }

  /** Locks that the work takes may not be held. */
  enter(task: Task): void {
    task.kernel.lockdep.wait(task, this.classId, this.name);
  }

  blockedBy(): string {
    return this.name;
  }

  holders(): readonly Task[] {
    return this.#worker === undefined ? [] : [this.#worker];
  }

  /** A worker may still come. */
  get outside(): boolean {
    return this.#pending && this.#worker === undefined;
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
    const task = current();
    task.kernel.lockdep.acquire(task, this);
    task.held.push(this);
    this.#worker = task;
    yield* this.#run();
    touches(LOCKLESS);
    unhold(task, this);
    this.#worker = undefined;
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
