/**
 * The property of accesses: for every machine, kernel and sequence of steps, implementation and oracle agree after each
 * step, and nothing is left when all is closed.
 */
import * as fc from 'fast-check';
import { draws } from './draw.ts';
import { type AccessCase, walkAccesses } from './walk.ts';

const KERNELS = ['7.2', '7.3'] as const;

const cases = (longest: number): fc.Arbitrary<AccessCase> =>
  fc.record({
    machine: fc.nat(1),
    kernel: fc.constantFrom(...KERNELS),
    draws: draws(longest),
    ctxFirst: fc.boolean(),
  });

/** How often each step gave each answer, as `pin EPERM`. */
export type Answers = Map<string, number>;

/** Run sequences until one fails, and shrink that: its message. */
export function checkAccesses(
  { seed, runs, longest }: { readonly seed: number; readonly runs: number; readonly longest: number },
  answers: Answers = new Map(),
): string | undefined {
  const property = fc.property(cases(longest), (drawn) => {
    walkAccesses(drawn, (step, answer) => {
      const what = step.do === 'command' ? step.command.do : step.do;
      const pair = `${what} ${answer}`;
      answers.set(pair, (answers.get(pair) ?? 0) + 1);
    });
  });
  const { failed, errorInstance } = fc.check(property, { seed, numRuns: runs });
  if (!failed) return undefined;
  return errorInstance instanceof Error ? errorInstance.message : String(errorInstance);
}
