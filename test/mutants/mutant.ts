/** A known bug as data: what it was, how it is put in again, and the race in which it must be found. */
import type { Stuck } from '../../explore/blame.ts';
import { neverMappedWhileRevoked, noDoubleUnmap } from '../../model/invariants.ts';
import { type Case, nameOf } from '../../properties/races/race.ts';
import { RACE_TABLES } from '../../properties/races/tables/documents.ts';
import { CaseTrial, trialOf } from '../../properties/races/trial.ts';
import type { Patch } from './patch.ts';

/** What is wrong with a run, in full. */
export interface Finding {
  readonly kind: string;
  readonly what: string;
}

export interface Mutant {
  /** Its number in the reference texts: H and S in iommufd 5.1, M in vfio-dmabuf 9. */
  readonly id: string;
  /** What the wrong code does. */
  readonly bug: string;
  /** The kernel's fix, or what else became of it. */
  readonly cured: string;
  readonly patches: readonly Patch[];
  /** What it is called by, as `iommufd-R2`; absent where the documents have no such race. */
  readonly race?: string;
  readonly trial: CaseTrial;
  /** All that its runs may be found by. What it is shrunk to is the first. */
  readonly found: readonly Finding[];
}

/** A case of the documents' races: of the race that is called so, the one that starts from there. */
export function inRace(race: string, from: string): Pick<Mutant, 'race' | 'trial'> {
  for (const table of RACE_TABLES) {
    for (const each of table.races) {
      const one = each.cases.find((it) => it.from === from);
      if (nameOf(table, each) === race && one !== undefined) return { race, trial: trialOf(table, each, one) };
    }
  }
  throw new Error(`no race is called ${race} and starts from: ${from}`);
}

/** A case that the documents have not. */
export const inOwnRace = (actors: string, one: Case): Pick<Mutant, 'trial'> => ({
  trial: new CaseTrial(one, `${actors}, from: ${one.from}`),
});

export const rule = (what: string): Finding => ({ kind: 'rule', what });
const mapped = (what: string): Finding => ({ kind: neverMappedWhileRevoked.name, what });
/** The CPU reaches what is revoked; seen after a step of this thread. */
export const shown = (thread: string, buffer: string): Finding =>
  mapped(`after a step of ${thread}: ${buffer} is revoked, and a CPU reaches it`);
/** A domain translates what was mapped before a revoke; seen after a step of this thread. */
export const shot = (thread: string, domain: string, iova?: string): Finding =>
  neverMapped(thread, domain, 'a revoke has shot its area', iova);
/** And what was mapped after it. */
export const takenBack = (thread: string, domain: string, iova?: string): Finding =>
  neverMapped(thread, domain, 'its owner has taken it back', iova);
const neverMapped = (thread: string, domain: string, but: string, iova = '0x1000000'): Finding =>
  mapped(`after a step of ${thread}: domain ${domain}, IOVA ${iova}: dev0:2+0x0 is mapped, but ${but}`);
export const outcome = (words: string): Finding => ({ kind: 'outcome', what: `not allowed: ${words}` });
/** What somebody who looks at everything sees when all have returned, or when all is closed then. */
export const atRest = (what: string): Finding => ({ kind: 'at rest', what });
/** Nobody who is left goes on: who waits for what, and how it stands then. */
export const lostWakeUp = (waiting: readonly string[], words: string): Finding =>
  isStuck('lost wake-up', waiting, words);
/** And all that they wait for is up to a device. */
export const unanswered = (waiting: readonly string[], words: string): Finding =>
  isStuck('environment', waiting, words);
const isStuck = (kind: Stuck['verdict'], waiting: readonly string[], words: string): Finding => ({
  kind,
  what: [...waiting, `not allowed: ${words}`].join('; '),
});
/** What a debug kernel prints. */
export const splat = (kind: string, what: string): Finding => ({
  kind: kind === 'double unmap' ? noDoubleUnmap.name : kind,
  what: `${kind}: ${what}`,
});
