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
 * Asked before every step, so it also sees all that the step before it did.
 */
export type Choose = (queueLength: number, at: Situation) => number;

/** What a chooser may look at. It changes under him: each step has the same object. */
export interface Situation {
  /** In the order of the branches. */
  readonly runs: readonly (Step & { readonly ended: boolean })[];
  /** The run queue, as indices of `runs`; the first `queueLength` count. */
  readonly queue: readonly number[];
  /** Who made the last step; -1 before the first. */
  readonly last: number;
}

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

/** Follows a schedule, for one run. */
export class Follower {
  readonly choose: Choose;
  /** How many of its preemptions have come. */
  came = 0;

  constructor(schedule: Schedule) {
    let ran = 0;
    this.choose = () => {
      const preemption = schedule[this.came];
      if (preemption === undefined || ran++ < preemption.after) return 0;
      this.came++;
      ran = 1; // The step that this choice leads to.
      return preemption.to;
    };
  }
}

/** The chooser alone. */
export const following = (schedule: Schedule): Choose => new Follower(schedule).choose;

/**
 * Run all branches to their ends; what each answers, in the order of the branches. `watch` is told of every step.
 * Fails with a Splat when all that are left wait for each other, or when one ends and still holds or owes something.
 */
export function interleave<T>(branches: readonly Branch<T>[], choose: Choose, watch?: (step: Step) => void): T[] {
  const all = new Interleaving(branches);
  all.go(choose, watch);
  const { waiting } = all;
  if (waiting.length > 0) throw new Splat('deadlock', waiting.map((run) => run.wait()).join('; '));
  return all.answers as T[];
}

/** Branches under way together. Nothing is allocated for a step. */
export class Interleaving<T> implements Situation {
  readonly runs: readonly Run<T>[];
  readonly queue: number[];
  last = -1;

  constructor(branches: readonly Branch<T>[]) {
    for (const { task } of branches) task.kernel.poisons = true;
    this.runs = branches.map((branch) => new Run(branch));
    this.queue = branches.map(() => 0);
  }

  /** Until nobody is ready: because all have ended, or because those who are left wait. Fails as the threads do. */
  go(choose: Choose, watch?: (step: Step) => void): void {
    const before = switchTo(undefined);
    try {
      for (let length = this.#fill(); length > 0; length = this.#fill()) {
        const place = choose(length, this);
        this.last = this.queue[place < length ? place : place % length] as number;
        const run = this.runs[this.last] as Run<T>;
        switchTo(run.task);
        run.advance();
        if (watch !== undefined) {
          switchTo(before);
          watch(run);
        }
      }
    } finally {
      switchTo(before);
    }
  }

  /** Set the run queue; its length. */
  #fill(): number {
    const { runs, queue } = this;
    const { length } = runs;
    let at = this.last < 0 ? 0 : this.last;
    let ready = 0;
    for (let i = 0; i < length; i++) {
      if ((runs[at] as Run<T>).ready()) queue[ready++] = at;
      if (++at === length) at = 0;
    }
    return ready;
  }

  /** Those who have not ended. */
  get waiting(): readonly Run<T>[] {
    return this.runs.filter(({ ended }) => !ended);
  }

  /** In the order of the branches; undefined of who has not ended. */
  get answers(): readonly (T | undefined)[] {
    return this.runs.map(({ answer }) => answer);
  }
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
    return !this.ended && (this.wants === undefined || this.wants.ready());
  }

  /** One step, with the task on the CPU. */
  step(): void {
    const before = switchTo(this.task);
    try {
      this.advance();
    } finally {
      switchTo(before);
    }
  }

  /** The same where it is there already. */
  advance(): void {
    if (this.wants !== undefined) this.wants.enter(this.task);
    const at = this.#thread.next();
    if (at.done !== true) {
      this.wants = at.value;
      return;
    }
    this.wants = undefined;
    this.ended = true;
    this.answer = at.value;
    assertIdle(this.task);
  }

  wait(): string {
    return waitsFor(this.task, this.wants as WaitPoint);
  }
}
