/** A mutant hunted under PCT with depth 2, from many seeds, and a failure made small. */
import { Pct } from '../../explore/pct.ts';
import type { Step } from '../../properties/races/race.ts';
import { type Failure, Search, shrinkFailure, tell } from '../../properties/races/search.ts';
import type { Finding, Mutant } from './mutant.ts';
import { during } from './patch.ts';

export const SEEDS = 50;
const DEPTH = 2;
/** Schedules from one seed, before the mutant counts as not found. */
const MOST = 2000;

export interface Hunt {
  /** Of each seed: schedules until one failed, that one included. Ascending. */
  readonly schedules: readonly number[];
  /** What failed, each once, in words. */
  readonly found: ReadonlySet<string>;
  readonly small: Failure<Step>;
  /** The same as it was found. */
  readonly failure: Failure<Step>;
  /** The small one for a person. */
  readonly told: readonly string[];
}

/** With the mutant in place. Fails when from some seed nothing is found. */
export const hunt = (mutant: Mutant): Hunt => during(mutant.patches, () => hunted(mutant));

function hunted(mutant: Mutant): Hunt {
  const schedules: number[] = [];
  const failures = new Map<string, Failure<Step>>();
  for (let seed = 0; seed < SEEDS; seed++) {
    const search = searchFor(mutant, seed);
    const failure = search.run(MOST);
    if (failure === undefined) throw new Error(`${mutant.id}: nothing fails in ${MOST} schedules from seed ${seed}`);
    schedules.push(search.explored);
    if (!failures.has(wordsOf(failure))) failures.set(wordsOf(failure), failure);
  }
  const found = new Set(failures.keys());
  const wanted = mutant.found[0];
  const failure = ((wanted && failures.get(wordsOf(wanted))) ?? failures.values().next().value) as Failure<Step>;
  const small = shrinkFailure(failure);
  return { schedules: schedules.toSorted((a, b) => a - b), found, small, failure, told: tell(small) };
}

/** What the race comes to in so many schedules with the code as it is: nothing, if that is right. */
export const withoutIt = (mutant: Mutant, schedules: number): Failure<Step> | undefined =>
  searchFor(mutant, 0).run(schedules);

const searchFor = ({ trial }: Mutant, seed: number): Search<Step> => new Search(trial, new Pct({ seed, depth: DEPTH }));

export const wordsOf = ({ kind, what }: Finding): string => `${kind}: ${what}`;

export const mean = (numbers: readonly number[]): number =>
  numbers.reduce((sum, each) => sum + each, 0) / numbers.length;

/** Of numbers that ascend. */
export function median(numbers: readonly number[]): number {
  const half = numbers.length / 2;
  return mean(numbers.slice(Math.ceil(half) - 1, Math.floor(half) + 1));
}
