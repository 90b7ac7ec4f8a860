/** Objects of a context: numbers, users, DESTROY, and the end of it all. Source: iommufd 1.1, 2.2, 2.11, I-77, I-79 */
import { describe, expect, test } from 'vitest';
import type { IommufdObject } from '../../impl/iommufd/context.ts';
import { hwptAlloc } from '../../impl/iommufd/hw-pagetable.ts';
import { getIoas, ioasIovaRanges } from '../../impl/iommufd/ioas.ts';
import { isErrno } from '../../impl/kernel/errno.ts';
import type { Errno } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { A, at, attached, mapFileOf, OK, Rig, removed } from './iommufd-rig.ts';
import { splatOf } from './kernel-rig.ts';

const alloc = (as: string): Command => ({ do: 'ioas_alloc', ctx: 'ctx', as });
const destroy = (obj: string): Command => ({ do: 'destroy', obj });

test('an object has the lowest free number, and a number is used again', () => {
  const rig = new Rig(); // `ioas` is 1, the devices are 2 and 3.
  rig.must(alloc('four'), alloc('five'), destroy('four'), alloc('again'), alloc('six'));
  expect(['ioas', 'again', 'five', 'six'].map((name) => rig.ioas(name).id)).toEqual([1, 4, 5, 6]);
  expect(rig.do(destroy('four'))).toEqual({ err: 'ENOENT' }); // Its number belongs to another now.
});

describe('DESTROY', () => {
  test.each<[what: string, obj: string, before: Command[], after: Command[]]>([
    [
      'an IOAS while a page table is on it',
      'ioas',
      [{ do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'hwpt' }],
      [destroy('hwpt')],
    ],
    [
      'an IOAS while a device is attached to it',
      'ioas',
      [{ do: 'vfio_attach', dev: 'dev0', pt: 'ioas' }],
      [{ do: 'vfio_detach', dev: 'dev0' }],
    ],
    [
      'a page table while a device is attached to it',
      'hwpt',
      [
        { do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'hwpt' },
        { do: 'vfio_attach', dev: 'dev0', pt: 'hwpt' },
      ],
      [{ do: 'vfio_detach', dev: 'dev0' }],
    ],
  ])('is EBUSY for %s, and succeeds afterwards', (_, obj, before, after) => {
    const rig = new Rig();
    rig.must(...before, mapFileOf());
    expect(rig.do(destroy(obj))).toEqual({ err: 'EBUSY' });
    rig.expectAtRest();
    rig.must(...after);
    expect(rig.do(destroy(obj))).toEqual(OK);
    expect(rig.do(destroy(obj))).toEqual({ err: 'ENOENT' });
    rig.expectAtRest();
  });

  test('is EBUSY for a device, which its driver holds', () => {
    const rig = new Rig();
    expect(rig.call(rig.ioas().ctx.destroy(2))).toBe('EBUSY');
  });

  test('is EBADF with a closed context', () => {
    const rig = new Rig();
    rig.must({ do: 'iommufd_close', ctx: 'ctx' });
    expect(rig.do(destroy('ioas'))).toEqual({ err: 'EBADF' });
  });

  test('of an IOAS takes its areas along, and their attachments', () => {
    const rig = new Rig();
    rig.mapFile();
    rig.mapFile({ iova: A + 0x10000n });
    expect(rig.attachments()).toEqual([2]);
    expect(rig.do(destroy('ioas'))).toEqual(OK);
    expect(rig.attachments()).toEqual([0]);
    rig.expectAtRest();
  });
});

describe('HWPT_ALLOC', () => {
  test.each<[what: string, device: string, parent: string, flags: number, errno: Errno]>([
    ['ENOENT for no device', 'nothing', 'nothing', 1, 'ENOENT'],
    ['ENOENT for what is no device', 'ioas', 'nothing', 1, 'ENOENT'],
    ['EINVAL for a missing parent', 'dev0', 'nothing', 1, 'EINVAL'],
    ['EOPNOTSUPP on a page table', 'dev0', 'hwpt', 1, 'EOPNOTSUPP'],
    ['EINVAL on a device', 'dev0', 'dev0', 1, 'EINVAL'],
    ['EOPNOTSUPP for any flag', 'dev0', 'ioas', 1, 'EOPNOTSUPP'],
  ])('is %s, and changes nothing', (_, device, parent, flags, errno) => {
    const rig = new Rig();
    rig.hwpt('hwpt');
    const { ctx } = rig.ioas();
    const ids: Record<string, number> = { ioas: 1, dev0: 2, hwpt: 4, nothing: 9 };
    const before = rig.state(['hwpt']);
    expect(rig.call(hwptAlloc(ctx, ids[device] as number, ids[parent] as number, flags, 'x'))).toBe(errno);
    expect(rig.state(['hwpt'])).toEqual(before);
  });

  test('takes the flags of the command, and knows devices of its own context only', () => {
    const rig = new Rig();
    expect(rig.do({ do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'x', flags: 1n << 32n })).toEqual({
      err: 'EOPNOTSUPP',
    });
    rig.must({ do: 'iommufd_open', as: 'ctx2' }, { do: 'ioas_alloc', ctx: 'ctx2', as: 'foreign' });
    expect(rig.hwpt('x', 'foreign')).toEqual({ err: 'ENOENT' });
    expect(rig.copy(A, 0x1000n, { dst: 'foreign' })).toEqual({ err: 'ENOENT' });
    expect(rig.attach('dev0', 'foreign')).toEqual({ err: 'ENOENT' });
  });
});

test('a number of another kind is no IOAS, and keeps its users', () => {
  const rig = new Rig();
  const { ctx } = rig.ioas();
  const before = rig.state([]);
  expect([getIoas(ctx, 2), getIoas(ctx, 9), rig.call(ioasIovaRanges(ctx, 2))]).toEqual(['ENOENT', 'ENOENT', 'ENOENT']);
  expect(rig.state([])).toEqual(before);
});

describe('the table of a context splats', () => {
  const rig = new Rig();
  const { ctx } = rig.ioas();
  const found = ctx.getAny(1);
  if (isErrno(found)) throw new Error('there is no object 1');
  const object: IommufdObject = found;
  ctx.put(object);

  test('at a put of the reference that is its own', () => {
    expect(splatOf(() => ctx.put(object))).toBe("refcount: ioas 1: put below the table's own");
  });

  test('at removing what it does not have', () => {
    rig.must(alloc('other'), destroy('other'));
    const gone = Object.assign(Object.create(object), { id: 4 });
    expect(splatOf(() => ctx.remove(gone))).toBe('WARN: ioas 4 is not in its table');
  });
});

test('a closed context splats with objects that use each other, and with a group left', () => {
  const rig = new Rig();
  for (const dev of ['dev0', 'dev1']) rig.must({ do: 'vfio_close', dev });
  rig.ioas().users++;
  expect(splatOf(() => rig.do({ do: 'iommufd_close', ctx: 'ctx' }))).toBe(
    'leak: 1 objects of a closed iommufd use each other',
  );
  const other = new Rig();
  const { ctx } = other.ioas();
  const [entry] = ctx.groups;
  for (const dev of ['dev0', 'dev1']) other.must({ do: 'vfio_close', dev });
  ctx.groups.set(...(entry as NonNullable<typeof entry>));
  expect(splatOf(() => other.do({ do: 'iommufd_close', ctx: 'ctx' }))).toBe(
    'WARN: a closed iommufd still has device groups',
  );
});

test.each<[what: string, closing: Command[]]>([
  [
    'the context first',
    [
      { do: 'iommufd_close', ctx: 'ctx' },
      { do: 'vfio_close', dev: 'dev0' },
    ],
  ],
  [
    'the device first',
    [
      { do: 'vfio_close', dev: 'dev0' },
      { do: 'iommufd_close', ctx: 'ctx' },
    ],
  ],
])('when context and attached device are closed, %s, all pins and attachments are gone', (_, closing) => {
  const rig = attached([
    { do: 'mem_alloc', as: 'm', length: 0x4000n },
    { do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'hwpt' },
    mapFileOf(),
  ]);
  rig.map('m', 0x4000n, { iova: 0n });
  rig.must({ do: 'vfio_close', dev: 'dev1' }, ...closing);
  expect([rig.pinned(), rig.attachments(), rig.machine.audit()]).toEqual([{}, [], []]);
  expect(rig.machine.fds.size).toBe(1); // The buffer's own descriptor.
  rig.must({ do: 'fd_close', fd: 'buf' });
});

test('a bound device keeps its context: mappings outlive the descriptor of the context', () => {
  const rig = attached([mapFileOf()]);
  rig.must({ do: 'iommufd_close', ctx: 'ctx' });
  expect(rig.reach('dev0')).toEqual(['0x1000000 -> dev0:2+0x0 0x4000 RW+MMIO']);
  expect(rig.unmap(A, 0x4000n)).toEqual({ err: 'EBADF' });
});

test('the same address is mapped in two contexts, and unmapped in one', () => {
  const rig = attached([mapFileOf(), { do: 'iommufd_open', as: 'ctx2' }]);
  rig.must({ do: 'ioas_alloc', ctx: 'ctx2', as: 'second' });
  expect(rig.mapFile({ ioas: 'second' })).toEqual(at(A));
  expect(rig.unmap(A, 0x4000n, 'second')).toEqual(removed(0x4000n));
  expect(rig.reach('dev0')).toHaveLength(1);
});
