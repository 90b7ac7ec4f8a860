/**
 * What races with a revoke, each in every interleaving there is: what the tables of properties/races do not show, and
 * what planted bugs must break. Source: iommufd 4.5
 */
import { expect, test } from 'vitest';
import { exhaust } from '../../explore/exhaustive.ts';
import { interleave } from '../../explore/interleave.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { copy, end, hwptAlloc, mapped, mappedTwice, outcomes, type Race, revoke, unmap } from './interleave-race.ts';
import { A, at, attached, mapFileOf, OK, type Rig, removed } from './iommufd-rig.ts';

const OF_A = 'unmap ioas 0x1000000 0x4000';
const OF_HWPT = 'unmap hwpt 0x1000000 0x4000';

test('R1: MAP_FILE and revoke end in ENODEV, or in success with nothing mapped, in every interleaving', () => {
  const { schedules, ends } = outcomes({ world: attached, commands: [mapFileOf(), revoke], domains: ['dev0'] });
  const refused = end(['ENODEV', 'ok'], [], []);
  const neverMapped = end(['ok 0x1000000', 'ok'], [], []);
  const unmapped = end(['ok 0x1000000', 'ok'], [], [OF_A]);
  expect([...ends.keys()].toSorted()).toEqual([refused, neverMapped, unmapped].toSorted());
  expect(schedules).toBeGreaterThan(400);
  for (const [outcome, times] of ends) expect(times, outcome).toBeGreaterThan(20);
});

const reset: Command = { do: 'vfio_reset', dev: 'dev0' };
const BUF_AT_A = '0x1000000 -> dev0:2+0x0 0x4000 RW+MMIO';

/** MAP_FILE, and the other command as a whole between its attach and its interconnect. */
function inTheMiddle(other: Command): { rig: Rig; answers: Result[] } {
  const rig = attached();
  const [map, between] = [mapFileOf(), other].map((command) => rig.machine.start(command.do, command));
  const wanted: string[] = [];
  const choose = (): number => (wanted.length === 3 ? 1 : 0);
  const answers = interleave([map!, between!], choose, ({ wants }) => wanted.push(wants?.name ?? 'end'));
  expect(wanted.slice(0, 3)).toEqual(['preempt', 'dev0.dmabuf0.resv', 'dev0.dmabuf0.resv']);
  return { rig, answers };
}

test('R1: MAP_FILE is ENODEV and leaves nothing, when the buffer is revoked between attach and interconnect', () => {
  const { rig, answers } = inTheMiddle(revoke);
  expect(answers).toEqual([{ err: 'ENODEV' }, OK]);
  expect(rig.attachments()).toEqual([0]);
  expect([rig.memory(true), rig.mapFile(), rig.unmap(A, 0x4000n)]).toEqual([OK, at(A), removed(0x4000n)]);
});

test('R18: MAP_FILE maps, when the buffer is revoked and given back between attach and interconnect', () => {
  const { rig, answers } = inTheMiddle(reset);
  expect(answers).toEqual([at(A), OK]);
  expect(rig.reach('dev0')).toEqual([BUF_AT_A]);
});

test.each<[name: string, atLeast: number, race: Race, ends: readonly string[]]>([
  [
    'R2: UNMAP and revoke end with one unmap for each (area, domain), by whichever of the two',
    500,
    { world: mappedTwice, commands: [unmap, revoke], domains: ['dev0', 'hwpt'] },
    [end(['ok 0x4000', 'ok'], [], [OF_HWPT, OF_A])],
  ],
  [
    'R4: DESTROY of a HWPT and revoke end with one unmap for each (area, domain)',
    100,
    { world: mappedTwice, commands: [{ do: 'destroy', obj: 'hwpt' }, revoke], domains: ['dev0'] },
    [end(['ok', 'ok'], [], [OF_HWPT, OF_A])],
  ],
  [
    'R5: COPY and revoke end with every copy unmapped, mapped before or not',
    100,
    { world: mapped, commands: [copy, revoke], domains: ['dev0'] },
    [end(['ok 0x2000000', 'ok'], [], [OF_A]), end(['ok 0x2000000', 'ok'], [], [OF_A, 'unmap ioas 0x2000000 0x2000'])],
  ],
  [
    'R6: two revokes, by memory off and by reset, unmap once between them',
    10,
    { world: mapped, commands: [reset, revoke], domains: ['dev0'] },
    [end(['ok', 'ok'], [], [OF_A])],
  ],
])('%s, in every interleaving (more than %i)', (_, atLeast, race, expected) => {
  const { schedules, ends } = outcomes(race);
  expect([...ends.keys()].toSorted()).toEqual(expected.toSorted());
  expect(schedules).toBeGreaterThan(atLeast);
});

test('R2: whether UNMAP or revoke unmaps hangs on the schedule', () => {
  const { unmappers } = outcomes({ world: mappedTwice, commands: [unmap, revoke], domains: [] });
  expect(unmappers).toEqual(new Set(['ioas_unmap', 'vfio_memory']));
});

test('R17: HWPT_ALLOC that fails at its second area does not unmap what a revoke has unmapped from it', () => {
  const logs = new Set<string>();
  exhaust((choose) => {
    const rig = attached([mapFileOf()]);
    rig.export('other', [[0n, 0x4000n]], 'dev1');
    rig.mapFile({ fd: 'other', iova: 0x200_0000n });
    rig.calls();
    // Nobody but HWPT_ALLOC enters a domain: its second area is the one that fails.
    rig.machine.kernel.faults.arm(2, 'iopt_dmabuf_track_domain');
    const branches = [hwptAlloc, revoke].map((command) => rig.machine.start(command.do, command));
    const answers = interleave(branches, choose);
    expect(answers).toEqual([{ err: 'ENOMEM' }, OK]);
    expect(rig.reach('dev0')).toEqual(['0x2000000 -> dev1:2+0x0 0x4000 RW+MMIO']);
    logs.add(
      rig
        .calls()
        .filter((call) => call.includes('late'))
        .map((call) => call.split(' ')[0])
        .join(', '),
    );
    rig.expectAtRest();
  });
  expect(logs).toEqual(new Set(['', 'map, unmap']));
});
