import { newIdentity, written } from './footprint.ts';
import type { Audited } from './ghosts.ts';
import { type HeldLock, type LockClass, lockClassId } from './lockdep.ts';
import { Splat } from './splat.ts';
import { current, running, type Task, type WaitPoint } from './thread.ts';

/** A sleeping lock with one owner. `yield` it, then release it in `finally`. */
export class Mutex implements WaitPoint, HeldLock {
  readonly name: string;
  readonly classId: number;
  readonly footprint = written(newIdentity());
  /** Ghost: what it protects, which stays the same unless it is taken. */
  readonly #of: Audited | undefined;
  #owner: Task | undefined;
  /** Who destroyed it. */
  #destroyedBy: string | undefined;

  constructor(name: string, lockClass: LockClass, of?: Audited) {
    this.name = name;
    this.classId = lockClassId(lockClass);
    this.#of = of;
  }

  ready(): boolean {
    return this.#owner === undefined;
  }

  enter(task: Task): void {
    if (this.#destroyedBy !== undefined) throw takenDead(task, this, `after mutex_destroy by ${this.#destroyedBy}`);
    task.kernel.lockdep.acquire(task, this);
    task.held.push(this);
    this.#owner = task;
    if (this.#of !== undefined) task.kernel.live.disturb(this.#of);
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

  /** mutex_destroy(): nobody may take it any more, nor have begun to wait for it. Fails: a Splat while it is held */
  destroy(): void {
    this.#destroyedBy = destroyedBy(this, this.holders(), this.#destroyedBy);
  }

  holders(): readonly Task[] {
    return this.#owner === undefined ? [] : [this.#owner];
  }

  blockedBy(): string {
    return this.#owner === undefined ? 'nobody' : `its owner ${this.#owner.name}`;
  }
}

/** Who destroys a lock, which nobody may hold. */
export function destroyedBy(
  { name }: { readonly name: string },
  holders: readonly Task[],
  before: string | undefined,
): string {
  const by = running()?.name ?? 'an observer';
  if (before !== undefined) throw new Splat('use after free', `${by} destroys ${name}, which ${before} has destroyed`);
  if (holders.length === 0) return by;
  throw new Splat('use after free', `${by} destroys ${name}, held by ${holders.map((task) => task.name).join(', ')}`);
}

/** Whoever takes a lock that is gone, perhaps after it has waited for that long before. */
export const takenDead = (task: Task, { name }: { readonly name: string }, when: string): Splat =>
  new Splat('use after free', `${task.name} takes ${name} ${when}`);

/** Take the lock off the task's list; nearly always it is the last. */
export function unhold(task: Task, lock: HeldLock): void {
  const { held } = task;
  if (held[held.length - 1] === lock) held.pop();
  else held.splice(held.lastIndexOf(lock), 1);
}

/** lockdep_assert_held(). Fails with a lockdep Splat. */
export function assertHeld(lock: Mutex): void {
  if (!lock.heldBy(current())) throw new Splat('lockdep', `${lock.name} must be held here`);
}
