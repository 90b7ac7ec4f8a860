/**
 * Threads that stay: a step starts one, which may end at once or wait for what a later step does. Whoever can go on is
 * run until it cannot, so that those who are left are exactly those who wait.
 */
import { type Branch, Run } from './interleave.ts';

/** A thread that has ended. */
export interface Ended<T> {
  readonly name: string;
  readonly answer: T;
}

export class Threads<T> {
  /** In the order in which they were started. */
  readonly #runs: Run<T>[] = [];
  /** A thread that the kernel itself begins meanwhile. */
  readonly #begun: () => Branch<T> | undefined;

  constructor(begun: () => Branch<T> | undefined = () => undefined) {
    this.#begun = begun;
  }

  start(branch: Branch<T>): void {
    this.#runs.push(new Run(branch));
  }

  /**
   * Run everybody as far as they go: always the first that is ready, counted round from the one in place `first`.
   * Those who ended, in that order. Fails as the threads do.
   */
  settle(first: number): Ended<T>[] {
    const ended: Ended<T>[] = [];
    for (let run = this.#next(first); run !== undefined; run = this.#next(first)) {
      this.#advance(run);
      if (run.ended) {
        this.#remove(run);
        ended.push({ name: run.task.name, answer: run.answer as T });
      }
      for (let more = this.#begun(); more !== undefined; more = this.#begun()) this.start(more);
    }
    return ended;
  }

  /** One that fails waits for nobody any more. */
  #advance(run: Run<T>): void {
    try {
      while (run.ready()) run.step();
    } catch (error) {
      this.#remove(run);
      throw error;
    }
  }

  #remove(run: Run<T>): void {
    this.#runs.splice(this.#runs.indexOf(run), 1);
  }

  #next(first: number): Run<T> | undefined {
    const { length } = this.#runs;
    for (let i = 0; i < length; i++) {
      const run = this.#runs[(first + i) % length] as Run<T>;
      if (run.ready()) return run;
    }
    return undefined;
  }

  /** Those who wait, in the order in which they were started. */
  get waiting(): readonly Run<T>[] {
    return this.#runs;
  }
}
