/** The property of raw calls: bad input never corrupts. Whatever a process calls gets an answer, and breaks nothing. */
import * as fc from 'fast-check';
import { isErrno } from '../../impl/kernel/errno.ts';
import { cases } from '../sequential.ts';
import { type Answered, RawBreach } from './step.ts';
import { rawWalk } from './walk.ts';

/** What the calls answered. */
export class RawTally {
  calls = 0;
  readonly #answers = new Map<string, Map<string, number>>();

  see({ called, answer }: Answered): void {
    this.calls++;
    const name = isErrno(answer) ? answer : 'ok';
    const row = this.#answers.get(called) ?? new Map<string, number>();
    this.#answers.set(called, row);
    row.set(name, (row.get(name) ?? 0) + 1);
  }

  /** How often `called` gave `answer`. */
  count(called: Answered['called'], answer: string): number {
    return this.#answers.get(called)?.get(answer) ?? 0;
  }

  get answers(): ReadonlyMap<string, ReadonlyMap<string, number>> {
    return this.#answers;
  }

  /** Over all calls, the most frequent first. */
  get errnos(): [string, number][] {
    const sums = new Map<string, number>();
    for (const row of this.#answers.values()) {
      for (const [name, count] of row) sums.set(name, (sums.get(name) ?? 0) + count);
    }
    return [...sums].toSorted((a, b) => b[1] - a[1]);
  }

  /** A row for each call, a column for each answer. */
  get table(): string[] {
    const columns = this.errnos.map(([name]) => name);
    const width = Math.max(...columns.map((name) => name.length), 7) + 1;
    const line = (first: string, cells: readonly (number | string)[]): string =>
      `${first.padEnd(18)}${cells.map((cell) => String(cell).padStart(width)).join('')}`;
    const rows = [...this.#answers].toSorted(([a], [b]) => a.localeCompare(b));
    return [
      line('', columns),
      ...rows.map(([called, row]) =>
        line(
          called,
          columns.map((name) => row.get(name) ?? ''),
        ),
      ),
      line(
        'all',
        this.errnos.map(([, count]) => count),
      ),
    ];
  }
}

export interface RawOptions {
  readonly seed: number;
  /** How many sequences. */
  readonly runs: number;
  /** The most intents in one. */
  readonly longest: number;
}

/** Walks for shrinking one failure: a sequence may be long, and whoever waits for it would rather see it long. */
const MOST_SHRINKS = 3000;

/** Run sequences until one fails, and shrink that. Deterministic. The shrunk failure, if there was one. */
export function checkRaw({ seed, runs, longest }: RawOptions, tally: RawTally): RawBreach | undefined {
  let broken: string | undefined;
  let shrunk = 0;
  const property = fc.property(cases(longest), (drawn) => {
    if (broken !== undefined && ++shrunk > MOST_SHRINKS) return;
    try {
      rawWalk(drawn, (answered) => {
        if (broken === undefined) tally.see(answered);
      });
    } catch (error) {
      const breach = error instanceof RawBreach ? error.breach : String(error);
      broken ??= breach;
      if (breach === broken) throw error;
    }
  });
  const details = fc.check(property, { seed, numRuns: runs });
  if (!details.failed) return undefined;
  if (details.errorInstance instanceof RawBreach) return details.errorInstance;
  throw details.errorInstance;
}
