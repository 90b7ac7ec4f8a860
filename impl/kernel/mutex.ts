import { newIdentity, written } from './footprint.ts';
import { type HeldLock, type LockClass, lockClassId } from './lockdep.ts';
import { Splat } from './splat.ts';
import { current, type Task, type WaitPoint } from './thread.ts';

/** A sleeping lock with one owner. `yield` it, then release it in `finally`. */
export class Mutex implements WaitPoint, HeldLock {
  readonly name: string;
  readonly classId: number;
  readonly footprint = written(newIdentity());
  /** Ghost: how often it was taken. While that stays the same, so does what it protects. */
  taken = 0;
  #owner: Task | undefined;
  #destroyed = false;

  constructor(name: string, lockClass: LockClass) {
    this.name = name;
    this.classId = lockClassId(lockClass);
  }

  ready(): boolean {
    return this.#owner === undefined;
  }

  enter(task: Task): void {
    if (this.#destroyed) throw new Splat('use after free', `${task.name} takes ${this.name} after mutex_destroy`);
    task.kernel.lockdep.acquire(task.held, this);
    task.held.push(this);
    this.#owner = task;
    this.taken++;
  }

  release(): void {
    const owner = this.#owner;
    if (owner === undefined || owner !== current()) throw new Splat('lockdep', `${this.name} released by a stranger`);
    unhold(owner, this);
    this.#owner = undefined;
  }

  heldBy(task: Task): boolean {
    return this.#owner === task;
  }

  get locked(): boolean {
    return this.#owner !== undefined;
  }

  /** mutex_destroy(): nobody may take it any more. */
  destroy(): void {
    if (this.#owner !== undefined) throw new Splat('WARN', `${this.name} destroyed while held`);
    this.#destroyed = true;
  }

  holders(): readonly Task[] {
    return this.#owner === undefined ? [] : [this.#owner];
  }

  blockedBy(): string {
    return this.#owner === undefined ? 'nobody' : `its owner ${this.#owner.name}`;
  }
}

/** Take the lock off the task's list; nearly always it is the last. */
export function unhold(task: Task, lock: HeldLock): void {
  const at = task.held.lastIndexOf(lock);
  if (at === task.held.length - 1) task.held.pop();
  else task.held.splice(at, 1);
}

/** lockdep_assert_held(). Fails with a lockdep Splat. */
export function assertHeld(lock: Mutex): void {
  if (!lock.heldBy(current())) throw new Splat('lockdep', `${lock.name} must be held here`);
}
