/**
 * Kernel threads. An operation that may wait is a generator; it yields what it wants and resumes having it. `drain`
 * runs one to its end with nobody else on the machine; `explore/` runs several and chooses who goes next. A task is a
 * thread with what the kernel knows of it: the locks it holds and the work it owes before it returns to user space.
 */
import { FaultPoints } from './fail-nth.ts';
import { DEFAULT_FEATURES, type Features } from './features.ts';
import { Ghosts } from './ghosts.ts';
import { type HeldLock, Lockdep, lockClassId } from './lockdep.ts';
import type { Process } from './process.ts';
import { Splat } from './splat.ts';
import { PAGE_SIZE } from './units.ts';

/** Where a kernel thread may stop: a lock it wants, a completion it awaits. */
export interface WaitPoint {
  readonly name: string;
  ready(): boolean;
  enter(task: Task): void;
  /** What taking it touches, as `footprint.ts` writes it; whatever there is, where it does not say. */
  readonly footprint?: number;
  /** Who is in the way, for a deadlock's report. */
  blockedBy?(): string;
  /** The tasks that hold it, or that are about to do what is waited for: they may wait for something in turn. */
  holders?(): readonly Task[];
  /** Whether it is up to somebody outside of the kernel: an unmap that a driver owes, a fence that a device signals. */
  readonly outside?: boolean;
}

export type Thread<T = void> = Generator<WaitPoint, T, void>;

/** Whether threads are plain functions here, as in a kernel for one processor: see `uniprocessor/`. */
export const UNIPROCESSOR = (function* (): Thread {})() === undefined;

/** What all threads of one machine share. */
export class Kernel {
  readonly features: Features;
  readonly lockdep = new Lockdep();
  readonly faults = new FaultPoints();
  /** Of the CPU, in bytes. Only what maps for DMA knows of another. */
  pageSize = PAGE_SIZE;
  /** Who makes the system calls of the tasks to come. */
  process: Process | undefined;
  /** Whether what is freed is poisoned; see poison.ts. */
  poisons = false;
  readonly live = new Ghosts();

  constructor(features: Features = DEFAULT_FEATURES) {
    this.features = features;
  }
}

/** A thread of control in the kernel: one system call of one caller. */
export class Task {
  readonly name: string;
  readonly kernel: Kernel;
  /** Whose system call it is; nobody's where there is no machine around the kernel. */
  readonly process: Process | undefined;
  /** Locks held, in the order in which they were taken. */
  readonly held: HeldLock[] = [];
  /** Deferred work (the last fput of a file), run when the system call returns. */
  readonly work: (() => Thread)[] = [];
  /**
   * The splat of the first wait that failed. A plain function has its `finally` blocks run then, where a generator is
   * left alone: what goes wrong in those is not what `drain` is to tell.
   */
  failedWait: unknown = undefined;

  constructor(name: string, kernel: Kernel) {
    this.name = name;
    this.kernel = kernel;
    this.process = kernel.process;
  }
}

let onCpu: Task | undefined;

/** The task on the CPU, as the kernel's `current`. */
export function current(): Task {
  if (onCpu === undefined) throw new Splat('WARN', 'kernel code outside of a task');
  return onCpu;
}

/** The same where there may be none. */
export const running = (): Task | undefined => onCpu;

/** Put `task` on the CPU, and give back whoever was there; drivers only. */
export function switchTo(task: Task | undefined): Task | undefined {
  const before = onCpu;
  onCpu = task;
  return before;
}

/** Whether this allocation, pin or copy is the one that a fault injector has chosen to fail. */
export function shouldFail(site: string): boolean {
  const task = current();
  if (task.held.length > 0) task.kernel.lockdep.wait(task, mightWait(site), site);
  return task.kernel.faults.hit(site);
}

const [MMAP_LOCK, FS_RECLAIM] = [lockClassId('mmap_lock'), lockClassId('fs_reclaim')];

/** might_fault() and might_alloc(): memory of a process may have to be brought back, and memory to be reclaimed. */
const mightWait = (site: string): number => (site.startsWith('copy_') ? MMAP_LOCK : FS_RECLAIM);

/** A system call: the operation, then the work that it deferred. */
export function* syscall<T>(task: Task, operation: () => Thread<T>): Thread<T> {
  const answer = yield* operation();
  for (let work = task.work.shift(); work !== undefined; work = task.work.shift()) yield* work();
  if (task.held.length > 0) assertUnlocked(task);
  return answer;
}

/** Run a thread to its end with nobody else on the machine. Fails with a Splat when it would wait for ever. */
export function drain<T>(task: Task, start: () => Thread<T>): T {
  const before = switchTo(task);
  try {
    const answer = UNIPROCESSOR ? (start() as T) : finish(start());
    assertUnlocked(task);
    return answer;
  } catch (error) {
    const { failedWait = error } = task;
    task.failedWait = undefined;
    throw failedWait;
  } finally {
    switchTo(before);
  }
}

function finish<T>(thread: Thread<T>): T {
  let at = thread.next();
  while (at.done !== true) {
    take(at.value);
    at = thread.next();
  }
  return at.value;
}

/** Take at once what is wanted: nobody else could give it back. Fails with a Splat when it is not there to take. */
export function take(wanted: WaitPoint): void {
  if (wanted === preempt) return;
  const task = current();
  try {
    if (!wanted.ready()) throw deadlock(task, wanted);
    wanted.enter(task);
  } catch (error) {
    task.failedWait ??= error;
    throw error;
  }
}

export const deadlock = (task: Task, wanted: WaitPoint): Splat => new Splat('deadlock', waitsFor(task, wanted));

/** Who waits for what, and who is in the way. */
export function waitsFor(task: Task, wanted: WaitPoint): string {
  const who = wanted.blockedBy?.() ?? 'something that nobody is left to do';
  return `${task.name} waits for ${wanted.name}, blocked by ${who}`;
}

/** A thread that ends holds nothing. */
function assertUnlocked(task: Task): void {
  if (task.held.length > 0) {
    throw new Splat('lockdep', `${task.name} ends holding ${task.held.map((lock) => lock.name).join(', ')}`);
  }
}

/** Back in user space a task holds nothing and owes nothing. */
export function assertIdle(task: Task): void {
  assertUnlocked(task);
  if (task.work.length > 0) throw new Splat('leak', `${task.name} ends with deferred work undone`);
}

/** Yielded before a lockless access to state that other threads may change. */
export const preempt: WaitPoint = { name: 'preempt', ready: () => true, enter: () => {} };
