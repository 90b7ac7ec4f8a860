/** Many runs under one strategy, until one fails; the failure is made small, and told. */
import { Sketch } from '../../explore/drawing.ts';
import { type Choose, following, type Schedule } from '../../explore/interleave.ts';
import { Recorder, showSchedule } from '../../explore/schedule.ts';
import { shrink } from '../../explore/shrink.ts';
import { explore, Pruned, type Strategy } from '../../explore/strategy.ts';
import type { Breach } from './breach.ts';

/** What is run again and again, each time in a fresh world and under another schedule: a case of a race, for one. */
export interface Trial<T> {
  /** What it is, in a line. */
  readonly title: string;
  /** Who takes part: what each does, in order. */
  readonly threads: readonly (readonly T[])[];
  /** Run it once: how it ended, in words, or what is wrong. Fails as the chooser does. */
  judge(choose: Choose): string | Breach;
  /** Afresh, with threads of which none does more than here; it is judged as far as that can be. */
  with(threads: readonly (readonly T[])[]): Trial<T>;
  /** For a person: what is done before, and who takes part. */
  describe(): string[];
}

/** A run that failed, and the schedule that brings it about. */
export interface Failure<T> extends Breach {
  readonly trial: Trial<T>;
  readonly schedule: Schedule;
}

class Found extends Error {
  readonly breach: Breach;
  readonly schedule: Schedule;

  constructor(breach: Breach, schedule: Schedule) {
    super(breach.what);
    this.breach = breach;
    this.schedule = schedule;
  }
}

/** One trial under one strategy, which goes on where it left off. */
export class Search<T> {
  readonly trial: Trial<T>;
  /** How it ended, in words, each with the first schedule that led there. */
  readonly seen = new Map<string, Schedule>();
  readonly #strategy: Strategy;
  /** Schedules that came to their end; the one that fails counts. */
  explored = 0;
  /** Schedules that were given up half-way, because another does the same. */
  pruned = 0;
  /** The strategy has nothing new left. */
  complete = false;
  steps = 0;

  constructor(trial: Trial<T>, strategy: Strategy) {
    this.trial = trial;
    this.#strategy = strategy;
  }

  /** So many runs more, as far as there are any; the first failure. */
  run(runs = Number.POSITIVE_INFINITY): Failure<T> | undefined {
    try {
      this.complete = explore(this.#strategy, (choose) => this.#once(choose), runs).complete;
    } catch (error) {
      if (!(error instanceof Found)) throw error;
      return { trial: this.trial, schedule: error.schedule, ...error.breach };
    }
    return undefined;
  }

  #once(choose: Choose): void {
    const recorder = new Recorder((queueLength, at) => {
      this.steps++;
      return choose(queueLength, at);
    });
    this.explored++;
    const ended = this.#judge(recorder.choose);
    if (typeof ended !== 'string') throw new Found(ended, recorder.schedule);
    if (!this.seen.has(ended)) this.seen.set(ended, recorder.schedule);
  }

  #judge(choose: Choose): string | Breach {
    try {
      return this.trial.judge(choose);
    } catch (error) {
      if (error instanceof Pruned) {
        this.explored--;
        this.pruned++;
      }
      throw error;
    }
  }
}

const LIMITS = { preemptions: 3, schedules: 2000 };

/** The failure with the fewest threads, steps and preemptions. */
export function shrinkFailure<T>(failure: Failure<T>): Failure<T> {
  const { trial, kind, schedule } = failure;
  const fails = (threads: readonly (readonly T[])[], choose: Choose): boolean => {
    const ended = trial.with(threads).judge(choose);
    return typeof ended !== 'string' && ended.kind === kind;
  };
  const small = shrink<T>({ threads: trial.threads, schedule }, fails, LIMITS);
  const smallTrial = trial.with(small.threads);
  const ended = smallTrial.with(small.threads).judge(following(small.schedule));
  if (typeof ended === 'string') return failure;
  return { ...ended, trial: smallTrial, schedule: small.schedule };
}

/** The failure for a person. */
export const tell = <T>(failure: Failure<T>): string[] => [
  `BROKEN: ${failure.kind}, in ${failure.trial.title}`,
  '',
  ...tellRun(failure, failure.what),
];

/** A run for a person: what was done before, who took part, and the run drawn; at its end what is wrong. */
export function tellRun<T>({ trial, schedule }: Pick<Failure<T>, 'trial' | 'schedule'>, what?: string): string[] {
  const sketch = new Sketch(following(schedule));
  trial.with(trial.threads).judge(sketch.choose);
  return [...trial.describe(), `with the schedule ${showSchedule(schedule)}`, '', ...sketch.lines(what)];
}
