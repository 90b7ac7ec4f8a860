/** Two commands raced against each other in every interleaving, and how that ends. */
import { expect } from 'vitest';
import { exhaust } from '../../explore/exhaustive.ts';
import { interleave } from '../../explore/interleave.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { A, attached, mapFileOf, type Rig } from './iommufd-rig.ts';

export const revoke: Command = { do: 'vfio_memory', dev: 'dev0', enable: false };
export const unmap: Command = { do: 'ioas_unmap', ioas: 'ioas', iova: A, length: 0x4000n };
export const hwptAlloc: Command = { do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'late' };
export const copy: Command = {
  do: 'ioas_copy',
  dst: 'ioas',
  src: 'ioas',
  src_iova: A,
  length: 0x2000n,
  dst_iova: 0x200_0000n,
  prot: 'rw',
};

export const mapped = (): Rig => attached([mapFileOf()]);
export const mappedTwice = (): Rig =>
  attached([{ do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'hwpt' }, mapFileOf()]);

export interface Race {
  /** The world as it is before the race; made anew for every schedule. */
  readonly world: () => Rig;
  readonly commands: readonly [Command, Command];
  /** What the end of a race is judged by: devices and HWPTs, `late` only if it came to be. */
  readonly domains: readonly string[];
}

/** How a race ended: the answers in the order of the commands, what the domains reach, what was unmapped. */
export const end = (answers: readonly string[], reach: readonly string[], unmaps: readonly string[]): string =>
  JSON.stringify({ answers, reach, unmaps });

interface Outcomes {
  readonly schedules: number;
  /** How often it ended how. */
  readonly ends: ReadonlyMap<string, number>;
  /** Which of the commands unmapped anything, in one schedule or another. */
  readonly unmappers: ReadonlySet<string>;
}

/** The commands after whose return nothing may be mapped. */
const REVOKES: readonly string[] = ['vfio_memory', 'mock_revoke'];

/** Run both commands in every interleaving. A splat in any of them fails. */
export function outcomes({ world, commands, domains }: Race): Outcomes {
  const ends = new Map<string, number>();
  const unmappers = new Set<string>();
  const schedules = exhaust((choose) => {
    const rig = world();
    const known = domains.filter((name) => name !== 'late');
    const branches = commands.map((command) => rig.machine.start(command.do, command));
    let [revoked, seen] = [false, 0];
    const answers = interleave(branches, choose, ({ task, wants }) => {
      const { calls } = rig.machine.iommu;
      if (calls.slice(seen).some(({ op }) => op === 'unmap')) unmappers.add(task.name);
      seen = calls.length;
      if (REVOKES.includes(task.name) && wants === undefined) revoked = true;
      if (revoked && known.some((name) => rig.reach(name).length > 0)) expect.fail('mapped after the revoke returned');
    });
    const there = domains.filter((name) => name !== 'late' || rig.machine.names.has(name));
    const reach = there.flatMap((name) => rig.reach(name));
    const unmaps = rig.calls().filter((call) => call.startsWith('unmap'));
    const ended = end(answers.map(short), reach, unmaps.toSorted());
    ends.set(ended, (ends.get(ended) ?? 0) + 1);
    rig.expectAtRest();
    finish(rig);
  });
  return { schedules, ends, unmappers };
}

/** Everything closes that is still open: a reference, an attachment or a tracker entry too many would splat. */
function finish(rig: Rig): void {
  rig.do({ do: 'iommufd_close', ctx: 'ctx' });
  for (const dev of ['dev0', 'dev1']) rig.do({ do: 'vfio_close', dev });
  expect([rig.attachments(), rig.machine.audit()]).toEqual([[], []]);
}

const short = (result: Result): string => {
  if ('err' in result) return result.err;
  const value = result.ok.length ?? result.ok.iova;
  return value === undefined ? 'ok' : `ok 0x${value.toString(16)}`;
};
