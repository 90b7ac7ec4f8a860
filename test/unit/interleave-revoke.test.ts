/** Of races with a revoke, what the tables do not show: which order leads where. Source: iommufd 4.5 */
import { expect, test } from 'vitest';
import { exhaust } from '../../explore/exhaustive.ts';
import { interleave } from '../../explore/interleave.ts';
import { OFF, RESET, unmap } from '../../properties/races/steps.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { A, at, attached, mapFileOf, OK, type Rig, removed } from './iommufd-rig.ts';

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
  const { rig, answers } = inTheMiddle(OFF);
  expect(answers).toEqual([{ err: 'ENODEV' }, OK]);
  expect(rig.attachments()).toEqual([0]);
  expect([rig.memory(true), rig.mapFile(), rig.unmap(A, 0x4000n)]).toEqual([OK, at(A), removed(0x4000n)]);
});

test('R18: MAP_FILE maps, when the buffer is revoked and given back between attach and interconnect', () => {
  const { rig, answers } = inTheMiddle(RESET);
  expect(answers).toEqual([at(A), OK]);
  expect(rig.reach('dev0')).toEqual([BUF_AT_A]);
});

test('R2: whether UNMAP or revoke unmaps hangs on the schedule', () => {
  const unmappers = new Set<string>();
  exhaust((choose) => {
    const { machine } = attached([mapFileOf()]);
    let seen = 0;
    const branches = [unmap(), OFF].map((command) => machine.start(command.do, command));
    interleave(branches, choose, ({ task }) => {
      const { calls } = machine.iommu;
      if (calls.slice(seen).some(({ op }) => op === 'unmap')) unmappers.add(task.name);
      seen = calls.length;
    });
  });
  expect(unmappers).toEqual(new Set(['ioas_unmap', 'vfio_memory']));
});
