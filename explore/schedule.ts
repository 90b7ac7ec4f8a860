/** A schedule as a value: made from any run, printed, read again, and followed. */
import type { Choose, Follower, Preemption, Schedule } from './interleave.ts';

/** Whatever the chooser does, written down as the schedule that does the same. */
export class Recorder {
  #schedule: Preemption[] = [];
  #after = 0;
  readonly choose: Choose;

  constructor(choose: Choose) {
    this.choose = (queueLength, at) => {
      const place = choose(queueLength, at) % queueLength;
      if (place === 0) {
        this.#after++;
      } else {
        this.#schedule.push({ after: this.#after, to: place });
        this.#after = 1; // The step that this choice leads to.
      }
      return place;
    };
  }

  /** Of the run so far. */
  get schedule(): Schedule {
    return this.#schedule;
  }
}

/** In short, as `3>1 0>2`: after 3 steps one place on, at once two places on. The empty schedule is `sequential`. */
export const showSchedule = (schedule: Schedule): string =>
  schedule.map(({ after, to }) => `${after}>${to}`).join(' ') || 'sequential';

/** For a person, when the run is over: that it was shorter than the schedule; undefined when it was not. */
export function neverCame({ came }: Pick<Follower, 'came'>, { length }: Schedule, steps: number): string | undefined {
  const left = length - came;
  if (left === 0) return undefined;
  const last = left === 1 ? 'the last preemption' : `the last ${left} preemptions`;
  return `${last} of ${length} never came: the run was over after ${steps} steps`;
}

/** What `showSchedule` has shown; undefined for anything else. */
export function readSchedule(text: string): Schedule | undefined {
  if (text.trim() === 'sequential') return [];
  const schedule: Preemption[] = [];
  for (const word of text.trim().split(/\s+/)) {
    const parts = /^([0-9]{1,9})>([0-9]{1,9})$/.exec(word);
    if (parts === null) return undefined;
    schedule.push({ after: Number(parts[1]), to: Number(parts[2]) });
  }
  return schedule;
}
