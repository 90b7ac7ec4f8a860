/** A run of a race judged: it ended as it may, or what is wrong with it. */
import type { Choose } from '../../explore/interleave.ts';
import { Splat } from '../../impl/kernel/splat.ts';
import { Broken, perform } from './perform.ts';
import { type Race, type Start, wordsOf } from './race.ts';

/** What is wrong; `kind` stays the same while a failure is shrunk. */
export interface Breach {
  readonly kind: string;
  readonly what: string;
}

/** How the run ended, in words, or the breach. What is thrown for another reason, such as by the chooser, is thrown. */
export function judge(race: Race, start: Start, choose: Choose): string | Breach {
  let outcome: ReturnType<typeof perform>;
  try {
    outcome = perform(race, start, choose);
  } catch (error) {
    if (error instanceof Splat) return { kind: error.kind, what: error.message };
    if (error instanceof Broken) return { kind: 'invariant', what: error.message };
    throw error;
  }
  const words = wordsOf(outcome);
  if (race.allowed.some((each) => wordsOf(each) === words)) return words;
  const { blocked } = outcome;
  if (blocked !== undefined && blocked.length > 0) return { kind: 'lost wake-up', what: blocked.join('; ') };
  return { kind: 'outcome', what: `not allowed: ${words}` };
}

/** The allowed outcomes that were not seen; only a search of everything may count them. */
export const missing = (race: Race, seen: ReadonlySet<string>): string[] =>
  race.allowed.map(wordsOf).filter((words) => !seen.has(words));
