/**
 * Page tables on their way, and a user who guesses the number that they will have: while they are made it is nobody's.
 *
 * Source: iommufd 1.1, I-81
 */
import { expect, test } from 'vitest';
import { exhaust } from '../../explore/exhaustive.ts';
import { interleave } from '../../explore/interleave.ts';
import { type IommufdDevice, iommufdDeviceAttach } from '../../impl/iommufd/device.ts';
import { syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import type { Command } from '../../trace/command.ts';
import { attached, mapFileOf, Rig } from './iommufd-rig.ts';

/** What is done with the number. */
type Guess = (rig: Rig, id: number) => Thread<unknown>;

const hwpt: Command = { do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'late' };
const destroy: Guess = (rig, id) => rig.ioas().ctx.destroy(id);
const attachDev1: Guess = (rig, id) =>
  iommufdDeviceAttach(rig.machine.devices.get('dev1')?.iommufdDevice as IommufdDevice, id);

const mapped = (): Rig => attached([mapFileOf()]);
/** The memory ends before the area does, which only a domain minds. */
function unfillable(): Rig {
  const rig = new Rig();
  rig.must({ do: 'mem_alloc', as: 'm', length: 0x1000n });
  rig.map('m', 0x2000n, { iova: 0n });
  return rig;
}
function elsewhere(): Rig {
  const rig = new Rig();
  rig.must({ do: 'ioas_alloc', ctx: 'ctx', as: 'other' }, { do: 'vfio_attach', dev: 'dev0', pt: 'other' }, mapFileOf());
  return rig;
}

const endOf = (answer: unknown): string => {
  if (answer === undefined || typeof answer === 'string') return answer ?? 'ok';
  return (answer as { readonly err?: string }).err ?? 'ok';
};

test.each<[what: string, world: () => Rig, maker: Command, guess: Guess, ends: readonly string[]]>([
  ['HWPT_ALLOC and DESTROY: ENOENT, or it goes', mapped, hwpt, destroy, ['ok, ENOENT', 'ok, ok']],
  ['HWPT_ALLOC and attach: ENOENT, or attached to it', mapped, hwpt, attachDev1, ['ok, ENOENT', 'ok, ok']],
  ['HWPT_ALLOC that fails and DESTROY: ENOENT', unfillable, hwpt, destroy, ['EFAULT, ENOENT']],
  ['HWPT_ALLOC that fails and attach: ENOENT', unfillable, hwpt, attachDev1, ['EFAULT, ENOENT']],
  [
    'attach and DESTROY: ENOENT, or the device is using it',
    () => new Rig(),
    { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' },
    destroy,
    ['ok, EBUSY', 'ok, ENOENT'],
  ],
  [
    'attach that fails and DESTROY: ENOENT',
    unfillable,
    { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' },
    destroy,
    ['EFAULT, ENOENT'],
  ],
  [
    'replace and DESTROY: ENOENT, or the device is using it',
    elsewhere,
    { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' },
    destroy,
    ['ok, EBUSY', 'ok, ENOENT'],
  ],
])('the number of a page table on its way is nobody: %s, in every interleaving', (_, world, maker, guess, expected) => {
  const ends = new Set<string>();
  exhaust((choose) => {
    const rig = world();
    const { table } = rig.ioas().ctx;
    const task = new Task('guess', rig.machine.kernel);
    const guessing = guess(rig, table.length);
    const branches = [rig.machine.start(maker.do, maker), { task, thread: syscall(task, () => guessing) }] as const;
    ends.add(
      interleave<unknown>(branches as never, choose)
        .map(endOf)
        .join(', '),
    );
    rig.expectAtRest();
  });
  expect([...ends].toSorted()).toEqual(expected);
});
