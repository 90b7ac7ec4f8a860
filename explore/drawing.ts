/** A run drawn in text: a column for each thread, time from above, and a bar for each lock while it is held. */
import { current, preempt, type WaitPoint } from '../impl/kernel/thread.ts';
import type { Choose, Situation } from './interleave.ts';

/** What one thread did, with what it held when that was done. */
interface Event {
  readonly step: number;
  readonly branch: number;
  /** For every thread: the bars of its column. */
  readonly bars: readonly string[];
  readonly what: string;
  /** Somebody who could have gone on was interrupted for this. */
  readonly preempted: boolean;
}

/** What happened in the midst of a step, and what its thread held then. */
interface Note {
  readonly what: string;
  readonly held: readonly string[];
}

/** Watches a run over the shoulder of its chooser. */
export class Sketch {
  readonly choose: Choose;
  readonly #events: Event[] = [];
  #at: Situation | undefined;
  /** Of each thread, before the step that is under way. */
  #held: readonly (readonly string[])[] = [];
  /** What the thread of that step had waited for. */
  #waited: WaitPoint | undefined;
  #step = 0;
  #preempted = false;
  #note: Note | undefined;

  constructor(choose: Choose) {
    this.choose = (queueLength, at) => {
      this.#stepped();
      this.#at = at;
      const place = choose(queueLength, at) % queueLength;
      const branch = at.queue[place] as number;
      this.#held = heldIn(at);
      this.#waited = at.runs[branch]?.wants;
      this.#preempted = place > 0 && at.queue[0] === at.last;
      this.#step++;
      return place;
    };
  }

  /** Something happens to the thread that runs: it is drawn where that is. */
  note(what: string): void {
    this.#note = { what, held: current().held.map(({ name }) => name) };
  }

  /** The drawing, once the run is over; `failure` is told at its end. */
  lines(failure?: string): string[] {
    this.#stepped(failure);
    const names = this.#at?.runs.map(({ task }) => task.name) ?? [];
    const cells = this.#events.map(({ bars, branch, what }) =>
      bars.map((bar, i) => (i === branch ? `${bar}${what}` : bar)),
    );
    const widths = names.map((name, i) => Math.max(name.length, ...cells.map((row) => (row[i] as string).length)));
    const line = (first: string, row: readonly string[]): string =>
      [first.padStart(4), ...row.map((cell, i) => cell.padEnd(widths[i] as number))].join('  ').trimEnd();
    let before = 0;
    const rows = this.#events.map(({ step, preempted }, i) => {
      const first = step === before ? '' : `${preempted ? '>' : ''}${step}`;
      before = step;
      return line(first, cells[i] as string[]);
    });
    return [line('', names), ...rows, ...this.#waiting(), ...(failure === undefined ? [] : [failure])];
  }

  /** What the last step did, seen in what its thread holds now and held before. */
  #stepped(failure?: string): void {
    const at = this.#at;
    if (at === undefined || this.#step === this.#events.at(-1)?.step) return;
    const branch = at.last;
    const now = heldIn(at);
    const mine = now[branch] as readonly string[];
    let lanes = [...(this.#held[branch] as readonly string[])];
    const add = (what: string): void => {
      const bars = now.map((held, i) => '│'.repeat(i === branch ? 0 : held.length));
      this.#events.push({ step: this.#step, branch, bars, what, preempted: this.#preempted });
    };
    const bars = '│'.repeat(lanes.length);
    const entered = this.#waited;
    if (entered === undefined) add('begins');
    else if (entered === preempt) add(`${bars}goes on`);
    else if (!('classId' in entered)) add(`${bars}has ${entered.name}`);
    else {
      add(`${bars}┌ ${entered.name}`);
      lanes.push(entered.name);
    }
    const letGo = (since: (name: string) => boolean): void => {
      for (const name of lanes.toReversed().filter((name) => !mine.includes(name) && since(name))) {
        const lane = lanes.lastIndexOf(name);
        add(`${'│'.repeat(lane)}└${'│'.repeat(lanes.length - lane - 1)} ${name}`);
        lanes = lanes.toSpliced(lane, 1);
      }
    };
    const note = this.#note;
    this.#note = undefined;
    if (note !== undefined) {
      letGo((name) => !note.held.includes(name));
      add(`${'│'.repeat(lanes.length)}${note.what}`);
    }
    letGo(() => true);
    if (at.runs[branch]?.ended === true) add('ends');
    else if (failure !== undefined) add(`${'│'.repeat(lanes.length)}✗`);
  }

  #waiting(): string[] {
    const runs = this.#at?.runs ?? [];
    return runs.flatMap(({ task, wants, ended }) =>
      ended || wants === undefined || wants.ready() ? [] : [`      ${task.name} waits for ${wants.name}`],
    );
  }
}

const heldIn = ({ runs }: Situation): string[][] => runs.map(({ task }) => task.held.map(({ name }) => name));
