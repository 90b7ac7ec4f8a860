/**
 * Several kernel threads on one machine, one step at a time: a step runs one thread from where it stopped to where it
 * next wants something. Who goes next is asked for before every step, so a run is as deterministic as its chooser.
 */
import { Splat } from '../impl/kernel/splat.ts';
import { assertIdle, switchTo, type Task, type Thread, type WaitPoint, waitsFor } from '../impl/kernel/thread.ts';

/** A thread, and the task that it runs on; nobody else runs on that. */
export interface Branch<T> {
  readonly task: Task;
  readonly thread: Thread<T>;
}

/**
 * Picks from the run queue: the threads that are ready, in the order of the branches, round from the one that ran last.
 * So place 0 is to go on, or to go to the next where that is not possible. Anything is taken modulo the queue's length.
 */
export type Choose = (queueLength: number) => number;

/** Run on for `after` steps, then hand over `to` places round the run queue. */
export interface Preemption {
  readonly after: number;
  readonly to: number;
}

/** The empty schedule is sequential. Gaps, not one choice for each step: this shrinks to the fewest switches. */
export type Schedule = readonly Preemption[];

/** What has just been done. */
export interface Step {
  readonly task: Task;
  /** Where the thread has stopped; absent at its end. */
  readonly wants: WaitPoint | undefined;
}

/** The chooser that follows a schedule, for one run. */
export function following(schedule: Schedule): Choose {
  let next = 0;
  let ran = 0;
  return () => {
    const preemption = schedule[next];
    if (preemption === undefined || ran++ < preemption.after) return 0;
    next++;
    ran = 1; // The step that this choice leads to.
    return preemption.to;
  };
}

/**
 * Run all branches to their ends; what each answers, in the order of the branches. `watch` is told of every step.
 * Fails with a Splat when all that are left wait for each other, or when one ends and still holds or owes something.
 */
export function interleave<T>(branches: readonly Branch<T>[], choose: Choose, watch?: (step: Step) => void): T[] {
  const runs = branches.map((branch) => new Run(branch));
  let last = 0;
  for (let queue = runQueue(runs, last); queue.length > 0; queue = runQueue(runs, last)) {
    last = queue[choose(queue.length) % queue.length] as number;
    const run = runs[last] as Run<T>;
    run.step();
    watch?.(run);
  }
  const waiting = runs.filter(({ ended }) => !ended);
  if (waiting.length > 0) throw new Splat('deadlock', waiting.map((run) => run.wait()).join('; '));
  return runs.map((run) => run.answer as T);
}

/** The indices of those that are ready, round from `from`. */
function runQueue(runs: readonly Run<unknown>[], from: number): number[] {
  const round = runs.map((_, i) => (from + i) % runs.length);
  return round.filter((i) => (runs[i] as Run<unknown>).ready());
}

/** One branch under way. */
export class Run<T> implements Step {
  readonly task: Task;
  readonly #thread: Thread<T>;
  wants: WaitPoint | undefined;
  ended = false;
  answer: T | undefined;

  constructor({ task, thread }: Branch<T>) {
    this.task = task;
    this.#thread = thread;
  }

  ready(): boolean {
    return !this.ended && (this.wants?.ready() ?? true);
  }

  step(): void {
    const before = switchTo(this.task);
    try {
      this.wants?.enter(this.task);
      const at = this.#thread.next();
      this.wants = at.done === true ? undefined : at.value;
      if (at.done !== true) return;
      this.ended = true;
      this.answer = at.value;
      assertIdle(this.task);
    } finally {
      switchTo(before);
    }
  }

  wait(): string {
    return waitsFor(this.task, this.wants as WaitPoint);
  }
}
