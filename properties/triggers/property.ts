/**
 * The property of triggers: for any devices and any sequence, buffers are revoked when the trigger table says so, and
 * the rules hold after each step.
 */
import * as fc from 'fast-check';
import { draws, kinds } from './draw.ts';
import { type TriggerCase, walkTriggers } from './walk.ts';

const KERNELS = ['7.2', '7.3', 'v4'] as const;

const cases = (longest: number): fc.Arbitrary<TriggerCase> =>
  fc.record({ kinds, kernel: fc.constantFrom(...KERNELS), draws: draws(longest) });

/** How often each step gave each answer, as `reset EAGAIN`. */
export type Answers = Map<string, number>;

/** Run sequences until one fails, and shrink that: its message. */
export function checkTriggers(
  { seed, runs, longest }: { readonly seed: number; readonly runs: number; readonly longest: number },
  answers: Answers = new Map(),
): string | undefined {
  const property = fc.property(cases(longest), (drawn) => {
    walkTriggers(drawn, (step, answer) => {
      const pair = `${step.do} ${answer}`;
      answers.set(pair, (answers.get(pair) ?? 0) + 1);
    });
  });
  const { failed, errorInstance } = fc.check(property, { seed, numRuns: runs });
  if (!failed) return undefined;
  return errorInstance instanceof Error ? errorInstance.message : String(errorInstance);
}
