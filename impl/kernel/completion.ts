import { newIdentity, read, touches } from './footprint.ts';
import { lockClassId, type WaitClass } from './lockdep.ts';
import { destroyedBy } from './mutex.ts';
import { Splat } from './splat.ts';
import { current, running, type Task, type WaitPoint } from './thread.ts';

/** Of a completion, beside its name. */
export interface CompletionConfig {
  /** What somebody outside must still do before it is complete; undefined when there is nothing. */
  readonly owed?: () => string | undefined;
  /** What is said of it then. */
  readonly lost?: string;
  /** Threads that are about to do it. */
  readonly by?: () => readonly Task[];
  /** What lockdep knows it by, if it does. */
  readonly waitClass?: WaitClass;
}

/** wait_for_completion(): `yield` it to sleep until somebody completes it. */
export class Completion implements WaitPoint {
  readonly name: string;
  readonly #owed: (() => string | undefined) | undefined;
  readonly #lost: string;
  readonly #by: (() => readonly Task[]) | undefined;
  #done = false;
  /** Who destroyed it. */
  #destroyedBy: string | undefined;
  readonly #identity = newIdentity();
  readonly footprint = read(this.#identity);

  readonly #classId: number | undefined;

  constructor(name: string, { owed, lost = 'whoever must complete it', by, waitClass }: CompletionConfig = {}) {
    this.name = name;
    this.#owed = owed;
    this.#by = by;
    this.#lost = lost;
    this.#classId = waitClass && lockClassId(waitClass);
  }

  blockedBy(): string {
    return this.#owed?.() ?? this.#lost;
  }

  holders(): readonly Task[] {
    return this.#by?.() ?? [];
  }

  get outside(): boolean {
    return this.#owed?.() !== undefined;
  }

  /** Whoever waits for one that is gone shall be told. */
  ready(): boolean {
    return this.#done || this.#destroyedBy !== undefined;
  }

  enter(task: Task): void {
    this.#assertAlive('waits for', task);
    if (this.#classId !== undefined) task.kernel.lockdep.wait(task, this.#classId, this.name);
  }

  complete(): void {
    touches(this.#identity);
    this.#assertAlive('completes');
    this.#done = true;
  }

  /** Who does what may complete it holds nothing that the waiter holds, be it complete then or not. */
  mightComplete(): void {
    const task = current();
    if (this.#classId !== undefined) task.kernel.lockdep.complete(task, this.#classId, this.name);
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
