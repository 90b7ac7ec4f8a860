/** Whether a race ends in all the ways that are allowed and in no other; and if not, what to look at. */
import { Exhaustive } from '../../explore/exhaustive.ts';
import { Reduced } from '../../explore/reduced.ts';
import type { Strategy } from '../../explore/strategy.ts';
import type { Case, Race, RaceTable, Step } from './race.ts';
import { Search, shrinkFailure, tell } from './search.ts';
import { type CaseTrial, trialOf } from './trial.ts';

/** A race that does not end as it must. */
export class NotAllowed extends Error {
  override readonly name = 'NotAllowed';

  constructor(lines: readonly string[], { allowed = new Set() }: CaseTrial) {
    super([...lines, ...[...allowed].map((words) => `allowed: ${words}`)].join('\n'));
  }
}

/** Every schedule of every case is asked for, however many there are. */
export const ALL_SCHEDULES = process.env['SHOOTDOWN_RACES'] === 'all';

/** Each case is run once. */
const kept = new Map<Case, Search<Step>>();

/** Every case of the race. Fails with the first that ends as it must not, or does not end as it may. */
export function judge(table: RaceTable, race: Race): readonly Search<Step>[] {
  return race.cases.map((one) => {
    const found = kept.get(one) ?? searched(trialOf(table, race, one, { closes: 'new' }), boundOf(one));
    kept.set(one, found);
    return found;
  });
}

/**
 * All schedules of the case. First those of one preemption: whoever leaves schedules out believes what the locks say,
 * and they may be wrong. What is found by those needs no more explanation.
 */
function searched(trial: CaseTrial, bound: number | undefined): Search<Step> {
  const few = ran(trial, new Exhaustive(1));
  const all = bound === 1 ? few : ran(trial, bound === undefined ? new Reduced() : new Exhaustive(bound));
  const lost = [...few.seen.keys()].filter((words) => !all.seen.has(words)).map((words) => `left out: ${words}`);
  const missing = missingOf(trial, all.seen).map((words) => `missing: ${words}`);
  if (lost.length + missing.length > 0) throw new NotAllowed([trial.title, ...lost, ...missing], trial);
  return all;
}

/** All that the strategy has. Fails with what is not allowed, made small. */
function ran(trial: CaseTrial, strategy: Strategy): Search<Step> {
  const search = new Search(trial, strategy);
  const failure = search.run();
  if (failure !== undefined) throw new NotAllowed(tell(shrinkFailure(failure)), trial);
  return search;
}

/** The allowed ends that were not seen; only a search of everything may count them. */
export const missingOf = ({ allowed = new Set() }: CaseTrial, seen: ReadonlyMap<string, unknown>): string[] =>
  [...allowed].filter((words) => !seen.has(words));

/** The most preemptions of the schedules that are made; undefined for all schedules that make a difference. */
export const boundOf = ({ preemptions, quick }: Case): number | undefined =>
  ALL_SCHEDULES ? preemptions : (quick ?? preemptions);
