/** The reduction loses no outcome of real system calls that meet where no lock is: at numbers, references and files. */
import { expect, test } from 'vitest';
import { Exhaustive } from '../../explore/exhaustive.ts';
import { Reduced } from '../../explore/reduced.ts';
import { explore, type Strategy } from '../../explore/strategy.ts';
import { judge } from '../../properties/race-search/judge.ts';
import type { Race, Start } from '../../properties/race-search/race.ts';
import { EXPORTED, TWO_DEVICES } from '../../properties/race-search/revokes.ts';
import type { Command } from '../../trace/command.ts';

const attach: Command = { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' };
const attachOther: Command = { ...attach, dev: 'dev1' };
const detach: Command = { do: 'vfio_detach', dev: 'dev0' };
const [iova, length] = [0x100_0000n, 0x4000n];
const map: Command = { do: 'ioas_map_file', ioas: 'ioas', fd: 'buf', start: 0n, length, prot: 'rw', iova };
const unmap: Command = { do: 'ioas_unmap', ioas: 'ioas', iova, length };
const alloc: Command = { do: 'ioas_alloc', ctx: 'ctx', as: 'another' };
const destroy: Command = { do: 'destroy', obj: 'ioas' };
const hwptAlloc: Command = { do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'hwpt' };
const revoke: Command = { do: 'vfio_memory', dev: 'dev0', enable: false };
const exportMore: Command = { do: 'vfio_export', dev: 'dev0', region: 2, ranges: [[0n, 0x1000n]], as: 'more' };
const closeCtx: Command = { do: 'iommufd_close', ctx: 'ctx' };

test.each<[before: readonly Command[], pair: readonly [Command, Command], all: number, reduced: number, ends: number]>([
  [[attach, map], [unmap, unmap], 220, 46, 4],
  [[attach], [map, unmap], 165, 45, 3],
  [[attach, map], [hwptAlloc, revoke], 462, 59, 1],
  [[attach, map], [attachOther, detach], 1243, 120, 1],
  [[], [destroy, map], 10, 10, 3],
  [[], [closeCtx, map], 8, 8, 2],
  [[], [exportMore, revoke], 10, 10, 1],
  [[], [alloc, destroy], 10, 8, 1],
])('after %o, all orders and the reduced ones of %o end alike', (before, pair, all, reduced, ends) => {
  const start: Start = { name: 'start', commands: [...EXPORTED, ...before] };
  const actors = pair.map((command) => ({ name: command.do, does: [command] }));
  const race: Race = {
    name: 'pair',
    source: 'none',
    machine: TWO_DEVICES,
    kernel: '7.3',
    starts: [start],
    actors,
    allowed: [],
  };
  const endsOf = (strategy: Strategy): { explored: number; words: readonly string[] } => {
    const words = new Set<string>();
    const { explored } = explore(strategy, (choose) => {
      const ended = judge(race, start, choose);
      words.add(typeof ended === 'string' ? ended : ended.what);
    });
    return { explored, words: [...words].toSorted() };
  };
  const [whole, part] = [endsOf(new Exhaustive()), endsOf(new Reduced())];
  expect(part.words).toEqual(whole.words);
  expect([whole.explored, part.explored, part.words.length]).toEqual([all, reduced, ends]);
});
