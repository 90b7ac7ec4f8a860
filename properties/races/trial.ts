/** A case of a race as a search runs it: each run is judged by the rules, and by how the table says that it may end. */
import type { Stuck } from '../../explore/blame.ts';
import { NotDeterministic } from '../../explore/exhaustive.ts';
import type { Choose } from '../../explore/interleave.ts';
import { Pruned } from '../../explore/strategy.ts';
import { type Breach, breachIn } from './breach.ts';
import { wordsOf } from './look.ts';
import { type Case, nameOf, type Race, type RaceTable, type Step, sourceOf } from './race.ts';
import { Run, threadsOf } from './run.ts';
import type { Trial } from './search.ts';
import { showStep, threadNames } from './show.ts';

interface Options {
  /** All take part that the table speaks of. */
  readonly whole?: boolean;
  /** Which runs are closed at their end, and accounted for: those that end in new words cost a sixth less. */
  readonly closes?: 'every' | 'new';
}

export class CaseTrial implements Trial<Step> {
  readonly title: string;
  readonly threads: readonly (readonly Step[])[];
  readonly one: Case;
  /** In words; undefined where the table does not tell, because not all take part. */
  readonly allowed: ReadonlySet<string> | undefined;
  /** Of the runs that end in the same words, only the first is closed, where these are kept. */
  readonly #closed: Set<string> | undefined;

  constructor(one: Case, title: string, { whole = true, closes = 'every' }: Options = {}) {
    this.title = title;
    this.threads = threadsOf(one.actors);
    this.one = one;
    this.allowed = whole ? new Set(one.ends.map(wordsOf)) : undefined;
    this.#closed = closes === 'new' ? new Set() : undefined;
  }

  judge(choose: Choose): string | Breach {
    try {
      const run = new Run(this.one);
      const { words, stuck } = run.go(choose);
      if (stuck === undefined && this.#closed?.has(words) !== true) {
        run.close();
        this.#closed?.add(words);
      }
      return this.#wrongEnd(words, stuck) ?? words;
    } catch (error) {
      // A strategy may give the run up.
      if (error instanceof Pruned || error instanceof NotDeterministic) throw error;
      return breachIn(error);
    }
  }

  /** A table that allows to be blocked speaks of an environment that does not answer. */
  #wrongEnd(words: string, stuck: Stuck | undefined): Breach | undefined {
    if (this.allowed === undefined) return undefined;
    const isAllowed = this.allowed.has(words);
    if (isAllowed && stuck?.verdict !== 'lost wake-up') return undefined;
    const ended = `${isAllowed ? 'and it ends' : 'not allowed'}: ${words}`;
    if (stuck === undefined) return { kind: 'outcome', what: ended };
    return { kind: stuck.verdict, what: [...stuck.lines, ended].join('; ') };
  }

  /** The ends of a table are those of all its actors together. */
  with(threads: readonly (readonly Step[])[]): CaseTrial {
    const whole = threads.flat().length === this.threads.flat().length;
    return new CaseTrial(whole ? this.one : { ...this.one, actors: threads }, this.title, { whole });
  }

  describe(): string[] {
    const { before, kernel = '7.3', fails } = this.one;
    const names = threadNames(this.threads);
    const fault = fails === undefined ? [] : [`  number ${fails.nth} of ${fails.site} fails`];
    return [
      `before, behaving as Linux ${kernel}`,
      ...before.map((step) => `  ${showStep(step)}`),
      'and then together',
      ...this.threads.map((steps, i) => `  ${names[i]}: ${steps.map(showStep).join(', ')}`),
      ...fault,
    ];
  }
}

/** A case of the tables, which is told by the name of its race. */
export const trialOf = (table: RaceTable, race: Race, one: Case, options?: Options): CaseTrial =>
  new CaseTrial(one, `${nameOf(table, race)}, ${race.actors}, from: ${one.from} (${sourceOf(table, race)})`, options);
