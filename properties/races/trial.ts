/** A case of a race as a search runs it: each run is judged by the rules, and by how the table says that it may end. */
import { NotDeterministic } from '../../explore/exhaustive.ts';
import type { Choose } from '../../explore/interleave.ts';
import { Pruned } from '../../explore/strategy.ts';
import { Splat } from '../../impl/kernel/splat.ts';
import { wordsOf } from './look.ts';
import { type Case, nameOf, type Race, type RaceTable, type Step, sourceOf } from './race.ts';
import { Broken, Run, threadsOf } from './run.ts';
import type { Breach, Trial } from './search.ts';
import { showStep, threadNames } from './show.ts';

export class CaseTrial implements Trial<Step> {
  readonly title: string;
  readonly threads: readonly (readonly Step[])[];
  readonly #one: Case;
  /** In words; undefined where the table does not tell, because not all take part. */
  readonly allowed: ReadonlySet<string> | undefined;

  /** `whole`: all that the table speaks of take part. */
  constructor(one: Case, title: string, whole = true) {
    this.title = title;
    this.threads = threadsOf(one.actors);
    this.#one = one;
    this.allowed = whole ? new Set(one.ends.map(wordsOf)) : undefined;
  }

  judge(choose: Choose): string | Breach {
    let ended: ReturnType<Run['go']>;
    try {
      ended = new Run(this.#one).go(choose);
    } catch (error) {
      return breachOf(error);
    }
    const { words, blocked } = ended;
    if (this.allowed === undefined || this.allowed.has(words)) return words;
    if (blocked.length > 0) return { kind: 'lost wake-up', what: `${blocked.join('; ')}; not allowed: ${words}` };
    return { kind: 'outcome', what: `not allowed: ${words}` };
  }

  /** The ends of a table are those of all its actors together. */
  with(threads: readonly (readonly Step[])[]): CaseTrial {
    if (threads.flat().length === this.threads.flat().length) return this;
    return new CaseTrial({ ...this.#one, actors: threads }, this.title, false);
  }

  describe(): string[] {
    const { before, kernel = '7.3', fails } = this.#one;
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

/** What is thrown for another reason than that the run is wrong, as by a strategy that gives it up, is thrown. */
function breachOf(error: unknown): Breach {
  if (error instanceof Splat) return { kind: error.kind, what: error.message };
  if (error instanceof Broken) return { kind: error.kind, what: error.message };
  if (error instanceof Pruned || error instanceof NotDeterministic || !(error instanceof Error)) throw error;
  const [, where = ''] = (error.stack ?? '').split('\n');
  return { kind: 'crash', what: `${error.message} ${where.trim()}` };
}

/** A case of the tables, which is told by the name of its race. */
export const trialOf = (table: RaceTable, race: Race, one: Case): CaseTrial =>
  new CaseTrial(one, `${nameOf(table, race)}, ${race.actors}, from: ${one.from} (${sourceOf(table, race)})`);
