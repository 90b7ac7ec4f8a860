import { newIdentity, read, touches, written } from './footprint.ts';
import { type HeldLock, type LockClass, lockClassId } from './lockdep.ts';
import { destroyedBy, takenDead, unhold } from './mutex.ts';
import { Splat } from './splat.ts';
import { current, type Task, type WaitPoint } from './thread.ts';

/** One way into a reader/writer semaphore: what a thread yields. */
class Side implements WaitPoint, HeldLock {
  readonly classId: number;
  readonly footprint: number;
  readonly writes: boolean;
  readonly #sem: Rwsem;

  constructor(sem: Rwsem, lockClass: LockClass, footprint: number, writes: boolean) {
    this.classId = lockClassId(lockClass);
    this.footprint = footprint;
    this.writes = writes;
    this.#sem = sem;
  }

  get name(): string {
    return `${this.#sem.name}(${this.writes ? 'W' : 'R'})`;
  }

  ready(): boolean {
    return this.#sem.admits(this);
  }

  enter(task: Task): void {
    task.kernel.lockdep.acquire(task, this);
    task.held.push(this);
    this.#sem.entered(task, this);
  }

  blockedBy(): string {
    return this.#sem.blockedBy();
  }

  holders(): readonly Task[] {
    return this.#sem.holders();
  }
}

/** A reader/writer semaphore: `yield sem.read`, or `yield sem.write`; release the same side in `finally`. */
export class Rwsem {
  readonly name: string;
  readonly #identity = newIdentity();
  readonly read: Side;
  readonly write: Side;
  readonly #readers: Task[] = [];
  #writer: Task | undefined;
  /** Who destroyed it. */
  #destroyedBy: string | undefined;
  /** By which way in it came. */
  #written: Side | undefined;

  constructor(name: string, lockClass: LockClass) {
    this.name = name;
    this.read = new Side(this, lockClass, read(this.#identity), false);
    this.write = this.writeAs(lockClass);
  }

  /** down_write_nested(): for writing, in the order of another class. Released as any. */
  writeAs(lockClass: LockClass): Side {
    return new Side(this, lockClass, written(this.#identity), true);
  }

  /** Whether who comes this way need not wait. */
  admits({ writes }: Side): boolean {
    return this.#writer === undefined && !(writes && this.#readers.length > 0);
  }

  /** Somebody has come this way. */
  entered(task: Task, side: Side): void {
    this.#assertAlive(task);
    if (side.writes) {
      this.#writer = task;
      this.#written = side;
    } else {
      this.#readers.push(task);
    }
  }

  blockedBy(): string {
    if (this.#writer !== undefined) return `its writer ${this.#writer.name}`;
    return `its readers ${this.#readers.map((task) => task.name).join(', ')}`;
  }

  holders(): readonly Task[] {
    return this.#writer === undefined ? this.#readers : [this.#writer];
  }

  /** down_write_trylock(): no order is checked, because nobody waits. */
  tryWrite(): boolean {
    touches(this.#identity);
    const task = current();
    this.#assertAlive(task);
    if (!this.write.ready()) return false;
    task.kernel.lockdep.taken(this.write);
    task.held.push(this.write);
    this.#writer = task;
    this.#written = this.write;
    return true;
  }

  /** downgrade_write(): the writer becomes a reader, and nobody writes in between. */
  downgrade(): void {
    this.releaseWrite();
    const task = current();
    this.#readers.push(task);
    task.held.push(this.read);
  }

  releaseRead(): void {
    const task = current();
    const readers = this.#readers;
    const at = readers.indexOf(task);
    if (at < 0) throw new Splat('lockdep', `${this.name}(R) released by a stranger`);
    if (at === readers.length - 1) readers.pop();
    else readers.splice(at, 1);
    unhold(task, this.read);
  }

  releaseWrite(): void {
    const task = current();
    if (this.#writer !== task) throw new Splat('lockdep', `${this.name}(W) released by a stranger`);
    this.#writer = undefined;
    unhold(task, this.#written as Side);
  }

  #assertAlive(task: Task): void {
    if (this.#destroyedBy !== undefined) throw takenDead(task, this, `after it was freed by ${this.#destroyedBy}`);
  }

  /** It goes with what it is a part of. Fails: a Splat while it is held */
  destroy(): void {
    this.#destroyedBy = destroyedBy(this, this.holders(), this.#destroyedBy);
  }

  heldForWrite(task: Task): boolean {
    return this.#writer === task;
  }

  heldBy(task: Task): boolean {
    return this.#writer === task || this.#readers.includes(task);
  }

  get locked(): boolean {
    return this.#writer !== undefined || this.#readers.length > 0;
  }
}

/** lockdep_assert_held(), for reading or for writing. Fails with a lockdep Splat. */
export function assertHeldAny(sem: Rwsem): void {
  if (!sem.heldBy(current())) throw new Splat('lockdep', `${sem.name} must be held here`);
}

/** lockdep_assert_held_write(). Fails with a lockdep Splat. */
export function assertHeldWrite(sem: Rwsem): void {
  if (!sem.heldForWrite(current())) throw new Splat('lockdep', `${sem.name} must be held for writing here`);
}
