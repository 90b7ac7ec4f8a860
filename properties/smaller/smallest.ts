/**
 * From a program that fails to one that fails alike and in which nothing can be done without. Commands depend on each
 * other by the names that they give and use; a sequence is a program without branches.
 */
import type { Result } from '../../trace/answer.ts';
import type { Program } from '../concurrent/program.ts';
import { plainer, withOneInstead, withoutDevice, withShortNames } from './arguments.ts';
import { commandsOf, withOneBefore, withoutOne } from './commands.ts';
import { withLowerNumbers } from './numbers.ts';

/** Each until it has nothing more; then from the beginning, while anything has changed. */
const WAYS = [withoutOne, withOneBefore, withOneInstead, plainer, withLowerNumbers, withoutDevice, withShortNames];

/** Smaller programs, at most, that are tried. A failure needs a hundred or two. */
const MOST = 2000;

/**
 * `fails`: whether this one fails as the one before does. One that is not shorter should also answer as that does, or
 * what is there to be done becomes what is refused.
 */
export function smallest(program: Program, fails: (program: Program, before: Program) => boolean): Program {
  let left = MOST;
  const find = (programs: Iterable<Program>, before: Program): Program | undefined => {
    for (const smaller of programs) {
      if (left-- <= 0) return undefined;
      if (fails(smaller, before)) return smaller;
    }
    return undefined;
  };
  let best = program;
  for (let before: Program | undefined; best !== before; ) {
    before = best;
    for (const way of WAYS) {
      for (let found = find(way(best), best); found !== undefined; found = find(way(best), best)) best = found;
    }
  }
  return best;
}

/** It has fewer commands, or as many and fewer at once. */
export function isShorter(one: Program, other: Program): boolean {
  const [commands, others] = [commandsOf(one).length, commandsOf(other).length];
  return commands < others || (commands === others && one.prefix.length > other.prefix.length);
}

/** Which of some calls succeeded, and how the others failed. */
export const errnos = (calls: readonly { readonly result?: Result }[]): string =>
  calls.map(({ result }) => (result === undefined ? 'no answer' : (result.err ?? 'ok'))).join();
