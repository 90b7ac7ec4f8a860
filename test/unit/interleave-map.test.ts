/** Mapping and unmapping against each other, each in every interleaving there is. Source: iommufd 4.5 */
import { expect, test } from 'vitest';
import { exhaust } from '../../explore/exhaustive.ts';
import { interleave } from '../../explore/interleave.ts';
import type { Command } from '../../trace/command.ts';
import { copy, end, hwptAlloc, mapped, outcomes, type Race, unmap } from './interleave-race.ts';
import { attached, mapFileOf, Rig } from './iommufd-rig.ts';

const OF_A = 'unmap ioas 0x1000000 0x4000';

/** Two pages of memory, mapped one by one from 0x1000 on, where no domain is. */
function crowded(): Rig {
  const rig = new Rig();
  rig.must({ do: 'mem_alloc', as: 'm', length: 0x4000n });
  for (const iova of [0x1000n, 0x2000n]) rig.map('m', 0x1000n, { iova });
  return rig;
}
const unmapBoth: Command = { do: 'ioas_unmap', ioas: 'ioas', iova: 0x1000n, length: 0x2000n };
const mapAnywhere: Command = { do: 'ioas_map', ioas: 'ioas', mem: 'm', offset: 0n, length: 0x1000n, prot: 'rw' };

test.each<[name: string, atLeast: number, race: Race, ends: readonly string[]]>([
  [
    'R9: MAP_FILE and UNMAP of its IOVA end in nothing to unmap, in EBUSY, or in success of both',
    150,
    { world: attached, commands: [mapFileOf(), unmap], domains: [] },
    [
      end(['ok 0x1000000', 'ENOENT'], [], []),
      end(['ok 0x1000000', 'EBUSY'], [], []),
      end(['ok 0x1000000', 'ok 0x4000'], [], [OF_A]),
    ],
  ],
  [
    'R10: two UNMAPs of one area end with one success, and the other finds it gone or going',
    200,
    { world: mapped, commands: [unmap, unmap], domains: ['dev0'] },
    [
      end(['ok 0x4000', 'EBUSY'], [], [OF_A]),
      end(['EBUSY', 'ok 0x4000'], [], [OF_A]),
      end(['ok 0x4000', 'ENOENT'], [], [OF_A]),
      end(['ENOENT', 'ok 0x4000'], [], [OF_A]),
    ],
  ],
  [
    'R11: UNMAP of two areas removes only them, wherever an automatic MAP lands meanwhile',
    200,
    { world: crowded, commands: [unmapBoth, mapAnywhere], domains: [] },
    [end(['ok 0x2000', 'ok 0x1000'], [], []), end(['ok 0x2000', 'ok 0x3000'], [], [])],
  ],
  [
    'R15: COPY and UNMAP of its source end with a copy, or with nothing to copy',
    400,
    { world: mapped, commands: [copy, unmap], domains: [] },
    [end(['ok 0x2000000', 'ok 0x4000'], [], [OF_A]), end(['ENOENT', 'ok 0x4000'], [], [OF_A])],
  ],
  [
    'R16: DESTROY of an IOAS and MAP_FILE end with the IOAS in use, gone before, or gone with the area',
    8,
    { world: () => new Rig(), commands: [{ do: 'destroy', obj: 'ioas' }, mapFileOf()], domains: [] },
    [end(['EBUSY', 'ok 0x1000000'], [], []), end(['ok', 'ENOENT'], [], []), end(['ok', 'ok 0x1000000'], [], [])],
  ],
])('%s, in every interleaving (more than %i)', (_, atLeast, race, expected) => {
  const { schedules, ends } = outcomes(race);
  expect([...ends.keys()].toSorted()).toEqual(expected.toSorted());
  expect(schedules).toBeGreaterThan(atLeast);
});

test.each<[kernel: string, attributes: readonly string[]]>([
  ['7.2', ['RW+CACHE', 'RW+MMIO']],
  ['7.3', ['RW+MMIO']],
])(
  'R12: MAP_FILE and HWPT_ALLOC end with the area once in each domain, in every interleaving, on %s',
  (kernel, seen) => {
    const attributes = new Set<string>();
    const schedules = exhaust((choose) => {
      const rig = attached([], kernel);
      const branches = [mapFileOf(), hwptAlloc].map((command) => rig.machine.start(command.do, command));
      interleave(branches, choose);
      const calls = rig.calls().map((call) => call.split(' '));
      expect(calls.map(([op, domain, iova]) => `${op} ${domain} ${iova}`).toSorted()).toEqual([
        'map ioas 0x1000000',
        'map late 0x1000000',
      ]);
      // 7.2 reads the pages of the second domain back from the first, if MAP_FILE was first (V9).
      attributes.add(rig.reach('late').join().split(' ').at(-1) as string);
      rig.expectAtRest();
    });
    expect([...attributes].toSorted()).toEqual(seen);
    expect(schedules).toBeGreaterThan(100);
  },
);
