/**
 * The sequential property: for every machine, every kernel and every sequence of intents, both worlds agree after every
 * step, and nothing is left when all is closed.
 */
import * as fc from 'fast-check';
import { Coverage } from './coverage.ts';
import type { Digest } from './digest.ts';
import { Divergence } from './divergence.ts';
import { intents } from './intents.ts';
import { SETTINGS } from './machines.ts';
import { shrinkDivergence } from './smaller/sequence.ts';
import { type Case, type MakeWorld, type Witness, walk } from './walk.ts';
import { newWorld } from './world.ts';

export interface Options {
  readonly seed: number;
  /** How many sequences. */
  readonly runs: number;
  /** The most intents in one. */
  readonly longest: number;
  /** How each begins, if not as usual. */
  readonly make?: MakeWorld;
  /** Told of every step, too. */
  readonly digest?: Digest | undefined;
}

/** What a run came to. */
export interface Report {
  readonly runs: number;
  readonly coverage: Coverage;
  /** As small as it could be made. */
  readonly failure?: Divergence;
}

/**
 * The cases, as fast-check draws and shrinks them: the machine and the kernel first, so that the simplest come first.
 */
export const cases = (longest: number): fc.Arbitrary<Case> =>
  fc
    .record({ on: fc.constantFrom(...SETTINGS), intents: intents(longest), closing: fc.nat() })
    .map(({ on, ...rest }) => ({ ...on, ...rest }));

/** Run sequences until one fails, and shrink that. Deterministic: the same seed draws the same sequences. */
export function checkSequences(options: Options, into = new Coverage()): Report {
  const { seed, runs, longest, make = newWorld, digest } = options;
  // What was broken first. While fast-check shrinks, nothing counts as coverage, and only the same as a failure.
  let broken: string | undefined;
  const property = fc.property(cases(longest), (drawn) => {
    try {
      const witness: Witness = (world, before, performed) => {
        if (broken !== undefined) return;
        into.see(world, before, performed);
        digest?.add(performed);
      };
      walk(drawn, witness, make);
    } catch (error) {
      const breach = error instanceof Divergence ? error.breach : String(error);
      broken ??= breach;
      if (breach === broken) throw error;
    }
  });
  const details = fc.check(property, { seed, numRuns: runs });
  if (!details.failed || details.counterexample === null) return { runs: details.numRuns, coverage: into };
  const [drawn] = details.counterexample;
  const divergence = divergenceOf(drawn, make, details.errorInstance);
  return { runs: details.numRuns, coverage: into, failure: shrinkDivergence(divergence, make) };
}

/** Fail again, on the shrunk case, for the divergence itself. What fails in another way is thrown as it is. */
function divergenceOf(drawn: Case, make: MakeWorld, first: unknown): Divergence {
  try {
    walk(drawn, undefined, make);
  } catch (error) {
    if (error instanceof Divergence) return error;
    throw error;
  }
  throw first;
}
