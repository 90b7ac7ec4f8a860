/** The reduction loses no outcome of real system calls that meet where no lock is: at numbers, references and files. */
import { expect, test } from 'vitest';
import { Exhaustive } from '../../explore/exhaustive.ts';
import { Reduced } from '../../explore/reduced.ts';
import { explore, type Strategy } from '../../explore/strategy.ts';
import type { Case } from '../../properties/races/race.ts';
import { Run } from '../../properties/races/run.ts';
import { attach, destroy, detach, exportAs, hwpt, MAP, OFF, START, unmap } from '../../properties/races/steps.ts';
import type { Command } from '../../trace/command.ts';

const alloc: Command = { do: 'ioas_alloc', ctx: 'ctx', as: 'another' };
const closeCtx: Command = { do: 'iommufd_close', ctx: 'ctx' };

test.each<[before: readonly Command[], pair: readonly [Command, Command], all: number, reduced: number, ends: number]>([
  [[attach('dev0'), MAP], [unmap(), unmap()], 220, 46, 4],
  [[attach('dev0')], [MAP, unmap()], 165, 45, 3],
  [[attach('dev0'), MAP], [hwpt('hwpt'), OFF], 462, 59, 1],
  [[attach('dev0'), MAP], [attach('dev1'), detach('dev0')], 1243, 120, 1],
  [[], [destroy('ioas'), MAP], 10, 10, 3],
  [[], [closeCtx, MAP], 8, 8, 2],
  [[], [exportAs('more'), OFF], 10, 10, 1],
  [[], [alloc, destroy('ioas')], 10, 8, 1],
])('after %o, all orders and the reduced ones of %o end alike', (before, pair, all, reduced, ends) => {
  const one: Case = { from: 'as told', before: [...START, ...before], actors: pair, ends: [] };
  const endsOf = (strategy: Strategy): { explored: number; words: readonly string[] } => {
    const words = new Set<string>();
    const { explored } = explore(strategy, (choose) => {
      words.add(new Run(one).go(choose).words);
    });
    return { explored, words: [...words].toSorted() };
  };
  const [whole, part] = [endsOf(new Exhaustive()), endsOf(new Reduced())];
  expect(part.words).toEqual(whole.words);
  expect([whole.explored, part.explored, part.words.length]).toEqual([all, reduced, ends]);
});
