/** Devices that come and go while others work, each in every interleaving there is. Source: iommufd 1.1, 1.5, 2.2 */
import { expect, test } from 'vitest';
import type { Command } from '../../trace/command.ts';
import { end, outcomes, type Race } from './interleave-race.ts';
import { attached, mapFileOf, type Rig } from './iommufd-rig.ts';

const OF_A = 'unmap ioas 0x1000000 0x4000';
const BUF_AT_A = '0x1000000 -> dev0:2+0x0 0x4000 RW+MMIO';
const attach = (dev: string, pt = 'ioas'): Command => ({ do: 'vfio_attach', dev, pt });
const detach = (dev: string): Command => ({ do: 'vfio_detach', dev });
const hwpt = (dev: string): Command => ({ do: 'hwpt_alloc', dev, ioas: 'ioas', as: 'hwpt' });
const mapped = (...more: Command[]): Rig => attached([mapFileOf(), ...more]);

test.each<[name: string, atLeast: number, race: Race, ends: readonly string[]]>([
  [
    'the last two devices detach: the automatic domain goes once',
    200,
    { world: () => mapped(attach('dev1')), commands: [detach('dev1'), detach('dev0')], domains: [] },
    [end(['ok', 'ok'], [], [OF_A])],
  ],
  [
    'two devices attach: one automatic domain is made, and both are in it',
    90,
    { world: () => mapped(detach('dev0')), commands: [attach('dev1'), attach('dev0')], domains: ['dev0', 'dev1'] },
    [end(['ok', 'ok'], [BUF_AT_A, BUF_AT_A], [])],
  ],
  [
    'the last device detaches as another attaches: that has the old domain or a new one, never one that goes',
    1000,
    {
      // On 7.3: where both domains are there for a moment, 7.2 loses MMIO (V9).
      world: () => attached([mapFileOf(), detach('dev0'), attach('dev1')], '7.3'),
      commands: [detach('dev1'), attach('dev0')],
      domains: ['dev0'],
    },
    [end(['ok', 'ok'], [BUF_AT_A], [OF_A]), end(['ok', 'ok'], [BUF_AT_A], [])],
  ],
  [
    'a device closes while HWPT_ALLOC uses it: it waits, or is gone before',
    200,
    { world: mapped, commands: [hwpt('dev1'), { do: 'vfio_close', dev: 'dev1' }], domains: ['dev0'] },
    [end(['ok', 'ok'], [BUF_AT_A], []), end(['ENOENT', 'ok'], [BUF_AT_A], [])],
  ],
  [
    'DESTROY of a page table and attach to it: it is in use, or there is none',
    20,
    {
      world: () => mapped(hwpt('dev0')),
      commands: [{ do: 'destroy', obj: 'hwpt' }, attach('dev1', 'hwpt')],
      domains: ['dev0'],
    },
    [end(['ok', 'ENOENT'], [BUF_AT_A], ['unmap hwpt 0x1000000 0x4000']), end(['EBUSY', 'ok'], [BUF_AT_A], [])],
  ],
])('%s, in every interleaving (more than %i)', (_, atLeast, race, expected) => {
  const { schedules, ends } = outcomes(race);
  expect([...ends.keys()].toSorted()).toEqual(expected.toSorted());
  expect(schedules).toBeGreaterThan(atLeast);
});

// A system call does not hold the file that it came through, as fdget() does, so the close releases what is in use.
test('a context that no device keeps is closed while MAP_FILE uses it: it is released afterwards', () => {
  const world = (): Rig =>
    attached([
      { do: 'iommufd_open', as: 'second' },
      { do: 'ioas_alloc', ctx: 'second', as: 'other' },
    ]);
  const commands = [
    { ...mapFileOf(), ioas: 'other' },
    { do: 'iommufd_close', ctx: 'second' },
  ] as const;
  const { ends } = outcomes({ world, commands, domains: [] });
  expect([...ends.keys()].toSorted()).toEqual([end(['EBADF', 'ok'], [], []), end(['ok 0x1000000', 'ok'], [], [])]);
});
