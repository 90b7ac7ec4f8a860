/** Whether a race ends in all the ways that are allowed and in no other; and if not, what to look at. */
import { wordsOf } from './look.ts';
import type { Case, Race, RaceTable } from './race.ts';
import { type Seen, seen, Wrong } from './run.ts';

/** A race that does not end as it must. */
export class NotAllowed extends Error {
  override readonly name = 'NotAllowed';
}

/** Every schedule of every case is asked for, however many there are. */
export const ALL_SCHEDULES = process.env['SHOOTDOWN_RACES'] === 'all';
const preemptionsOf = ({ preemptions = Number.POSITIVE_INFINITY, tooMany }: Case): number =>
  ALL_SCHEDULES && !tooMany ? Number.POSITIVE_INFINITY : preemptions;

/** Each case is run once. */
const kept = new Map<Case, Seen>();

/** Every case of the race. Fails with the first that ends as it must not, or does not end as it may. */
export function judge(table: RaceTable, race: Race): readonly Seen[] {
  return race.cases.map((one) => {
    const before = kept.get(one);
    if (before !== undefined) return before;
    const found = tried(table, race, one);
    const allowed = new Set(one.ends.map(wordsOf));
    const wrong = [...found.ends.keys()].filter((words) => !allowed.has(words));
    const missing = [...allowed].filter((words) => !found.ends.has(words));
    if (wrong.length + missing.length > 0) throw new NotAllowed(report(table, race, one, wrong, missing));
    kept.set(one, found);
    return found;
  });
}

/** All schedules of a case, or why one of them cannot be: then by the fewest preemptions that it takes. */
function tried(table: RaceTable, race: Race, one: Case): Seen {
  try {
    return seen(one, preemptionsOf(one));
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    throw new NotAllowed(`${titleOf(table, race, one)}\n${simplest(one, error.message)}`);
  }
}

function simplest(one: Case, otherwise: string): string {
  for (const preemptions of [0, 1, 2]) {
    try {
      seen(one, preemptions);
    } catch (error) {
      if (error instanceof Wrong) return error.message;
    }
  }
  return otherwise;
}

function report(table: RaceTable, race: Race, one: Case, wrong: readonly string[], missing: readonly string[]): string {
  const lines = [titleOf(table, race, one)];
  for (const words of wrong) lines.push(`not allowed: ${words}`, `  schedule: ${shortest(one, words)}`);
  for (const words of missing) lines.push(`missing: ${words}`);
  for (const end of one.ends) lines.push(`allowed: ${wordsOf(end)}`);
  return lines.join('\n');
}

/** A schedule of the fewest preemptions that ends so. */
function shortest(one: Case, words: string): string {
  for (const preemptions of [0, 1, 2, preemptionsOf(one)]) {
    const schedule = seen(one, preemptions).ends.get(words);
    if (schedule !== undefined) return schedule;
  }
  return 'of many preemptions';
}

const titleOf = (table: RaceTable, race: Race, { from, kernel = '7.3' }: Case): string =>
  `${nameOf(table, race)}: ${race.actors}; from: ${from} (${kernel})`;

export const nameOf = ({ document, section }: RaceTable, { id }: Race): string => `${document} ${section}, ${id}`;
