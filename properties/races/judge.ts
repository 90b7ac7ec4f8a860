/** Whether a race ends in all the ways that are allowed and in no other; and if not, what to look at. */
import { Exhaustive } from '../../explore/exhaustive.ts';
import { Reduced } from '../../explore/reduced.ts';
import type { Strategy } from '../../explore/strategy.ts';
import { wordsOf } from './look.ts';
import type { Case, Race, RaceTable } from './race.ts';
import { type Seen, seen, Wrong } from './run.ts';

/** A race that does not end as it must. */
export class NotAllowed extends Error {
  override readonly name = 'NotAllowed';
}

/** Every schedule of every case is asked for, however many there are. */
export const ALL_SCHEDULES = process.env['SHOOTDOWN_RACES'] === 'all';

/** Each case is run once. */
const kept = new Map<Case, Seen>();

/** Every case of the race. Fails with the first that ends as it must not, or does not end as it may. */
export function judge(table: RaceTable, race: Race): readonly Seen[] {
  return race.cases.map((one) => {
    const before = kept.get(one);
    if (before !== undefined) return before;
    const found = tried(titleOf(table, race, one), one);
    const complaints = complaintsOf(one, found);
    if (complaints.length > 0) throw new NotAllowed([titleOf(table, race, one), ...complaints].join('\n'));
    kept.set(one, found);
    return found;
  });
}

/**
 * What is seen of a case, or why one of its schedules cannot be. First all of one preemption: whoever leaves schedules
 * out believes what the locks say, and they may be wrong. What is found by those needs no more explanation.
 */
function tried(title: string, one: Case): Seen {
  try {
    const few = seen(one, new Exhaustive(1));
    const found = seen(one, strategyOf(one));
    const lost = [...few.ends.keys()].filter((words) => !found.ends.has(words));
    if (lost.length > 0) throw new NotAllowed([title, ...lost.map((words) => `left out: ${words}`)].join('\n'));
    return { ...found, ends: new Map([...found.ends, ...few.ends]) };
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    throw new NotAllowed(`${title}\n${error.message}`);
  }
}

function strategyOf({ preemptions }: Case): Strategy {
  return preemptions === undefined || ALL_SCHEDULES ? new Reduced() : new Exhaustive(preemptions);
}

/** Ends that are not allowed, and those that do not come about. */
function complaintsOf(one: Case, { ends }: Seen): string[] {
  const allowed = new Set(one.ends.map(wordsOf));
  const wrong = [...ends].filter(([words]) => !allowed.has(words));
  const missing = [...allowed].filter((words) => !ends.has(words));
  const complaints = [
    ...wrong.map(([words, schedule]) => `not allowed: ${words}\n  schedule: ${schedule}`),
    ...missing.map((words) => `missing: ${words}`),
  ];
  return complaints.length === 0 ? [] : [...complaints, ...[...allowed].map((words) => `allowed: ${words}`)];
}

const titleOf = (table: RaceTable, race: Race, { from, kernel = '7.3' }: Case): string =>
  `${nameOf(table, race)}: ${race.actors}; from: ${from} (${kernel})`;

export const nameOf = ({ document, section }: RaceTable, { id }: Race): string => `${document} ${section}, ${id}`;
