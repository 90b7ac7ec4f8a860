/**
 * The property of importers: for every machine, kernel and sequence of steps, the same calls return with the same
 * answers at the same step, and those that wait do so for the same reason as by the documents.
 */
import * as fc from 'fast-check';
import { draws } from './draw.ts';
import { type ImporterCase, type Told, walkImporters } from './walk.ts';

const KERNELS = ['7.2', '7.3', 'v4'] as const;

const cases = (longest: number): fc.Arbitrary<ImporterCase> =>
  fc.record({ oneBus: fc.boolean(), kernel: fc.constantFrom(...KERNELS), draws: draws(longest) });

/** Run sequences until one fails, and shrink that: its message. */
export function checkImporters(
  { seed, runs, longest }: { readonly seed: number; readonly runs: number; readonly longest: number },
  told?: Told,
): string | undefined {
  const property = fc.property(cases(longest), (drawn) => walkImporters(drawn, told));
  const { failed, errorInstance } = fc.check(property, { seed, numRuns: runs });
  if (!failed) return undefined;
  return errorInstance instanceof Error ? errorInstance.message : String(errorInstance);
}
