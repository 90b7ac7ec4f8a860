/** IOMMU_IOAS_CHANGE_PROCESS: what it asks of all areas, and that it is alone while it does. Source: 2.17, 3.8 */
import { expect, test } from 'vitest';
import { exhaust } from '../../explore/exhaustive.ts';
import { interleave } from '../../explore/interleave.ts';
import { ioasChangeProcess } from '../../impl/iommufd/change-process.ts';
import type { Pages } from '../../impl/iommufd/pages.ts';
import type { Errno } from '../../impl/kernel/errno.ts';
import { syscall, Task } from '../../impl/kernel/thread.ts';
import type { Command } from '../../trace/command.ts';
import { MEMORY } from './access-rig.ts';
import { A, mapFileOf, Rig } from './iommufd-rig.ts';

const other: Command = { do: 'ioas_alloc', ctx: 'ctx', as: 'other' };
const MEMFD: Command = { ...mapFileOf(), fd: 'f' };
const COPY: Command = {
  do: 'ioas_copy',
  dst: 'other',
  src: 'ioas',
  src_iova: A,
  length: 0x1000n,
  dst_iova: A,
  prot: 'r',
};
const USER: Command = { do: 'ioas_map', ioas: 'other', mem: 'm', offset: 0n, length: 0x1000n, prot: 'r', iova: 0n };

function rigWith(commands: readonly Command[]): Rig {
  const rig = new Rig();
  rig.must(...MEMORY, ...commands);
  return rig;
}

/** Call it; what it answers, and the pages that were handed over. */
function change(rig: Rig, reserved = 0, charge?: Errno): { answer: unknown; handed: Pages[] } {
  const handed: Pages[] = [];
  const answer = rig.call(
    ioasChangeProcess(rig.ioas().ctx, reserved, (pages) => {
      handed.push(...pages);
      return charge;
    }),
  );
  rig.expectAtRest();
  return { answer, handed };
}

test('hands over the pages of every file in every IOAS, each once, however many areas show them', () => {
  const rig = rigWith([other, MEMFD, COPY, { ...MEMFD, ioas: 'other', iova: A + 0x10000n }]);
  const { answer, handed } = change(rig);
  const pages = (ioas: string): unknown[] =>
    rig
      .ioas(ioas)
      .iopt.areas.all()
      .map((area) => area.pages);
  expect(answer).toBeUndefined();
  expect(new Set(handed)).toEqual(new Set([...pages('ioas'), ...pages('other')]));
  expect(handed.length).toBe(2);
});

test.each<[what: string, commands: readonly Command[], reserved: number, answer: Errno]>([
  ['a reserved field that is set: EOPNOTSUPP, before anything else', [other, USER], 1, 'EOPNOTSUPP'],
  ['memory of a process in any IOAS: EINVAL', [other, MEMFD, USER], 0, 'EINVAL'],
  ['a dma-buf: EINVAL', [mapFileOf()], 0, 'EINVAL'],
])('is refused for %s, and nothing is handed over', (_, commands, reserved, answer) => {
  expect(change(rigWith(commands), reserved)).toEqual({ answer, handed: [] });
});

test('is refused for an area in set-up: EBUSY, before EINVAL, in whichever IOAS either is', () => {
  const rig = rigWith([other, MEMFD, USER]);
  const [area] = rig.ioas().iopt.areas.all();
  const pages = area?.pages;
  Object.assign(area ?? {}, { pages: undefined });
  const work = ioasChangeProcess(rig.ioas().ctx, 0, () => undefined);
  expect(rig.call(work)).toBe('EBUSY');
  Object.assign(area ?? {}, { pages });
  rig.expectAtRest();
});

test('answers ENOMEM where the caller may not be charged, and lets go of every lock', () => {
  const rig = rigWith([other, MEMFD]);
  expect(change(rig, 0, 'ENOMEM').answer).toBe('ENOMEM');
  expect(change(rig).answer).toBeUndefined();
});

test('of a context without any area succeeds', () => {
  expect(change(rigWith([]))).toEqual({ answer: undefined, handed: [] });
});

test.each<[what: string, command: Command, answers: readonly string[]]>([
  ['MAP_FILE of a memfd', { ...MEMFD, iova: A + 0x10000n }, ['1', '2', 'EBUSY']],
  ['UNMAP of one', { do: 'ioas_unmap', ioas: 'ioas', iova: A, length: 0x4000n }, ['0', '1', 'EBUSY']],
  ['IOAS_ALLOC', { ...other, as: 'third' } as Command, ['1']],
  ['DESTROY of the other IOAS', { do: 'destroy', obj: 'other' }, ['1']],
])('and %s, in every interleaving: each sees all of the other, or nothing', (_, command, expected) => {
  const seen = new Set<string>();
  const schedules = exhaust((choose) => {
    const rig = rigWith([other, MEMFD]);
    const task = new Task('change_process', rig.machine.kernel);
    let count = 0;
    const thread = ioasChangeProcess(rig.ioas().ctx, 0, (pages) => {
      count = pages.size;
      return undefined;
    });
    const changed: [unknown, unknown] = interleave<unknown>(
      [{ task, thread: syscall<unknown>(task, () => thread) }, rig.machine.start('other', command)],
      choose,
    ) as [unknown, unknown];
    seen.add(String(changed[0] ?? count));
    expect([{ ok: {} }, { ok: { iova: A + 0x10000n } }, { ok: { length: 0x4000n } }, { err: 'EBUSY' }]).toContainEqual(
      changed[1],
    );
    rig.expectAtRest();
  });
  expect([...seen].toSorted()).toEqual(expected);
  expect(schedules).toBeGreaterThan(5);
});
