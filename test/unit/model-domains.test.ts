import { describe, expect, test } from 'vitest';
import { reaches } from '../../model/observe.ts';
import { initial, type State } from '../../model/spec.ts';
import type { Command, Handle } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import { answer, device, play } from './model-rig.ts';

const machine: MachineConfig = {
  pageSize: 0x1000n,
  pageSizes: [0x1000n, 0x20_0000n],
  aperture: [0x1000n, 0xffff_ffff_ffffn],
  reserved: [[0xfee0_0000n, 0xfeef_ffffn]],
  devices: new Map([
    ['dev0', device(0)],
    ['dev4', device(4)],
    ['dev5', device(4)],
  ]),
};
const MAX = 2n ** 64n - 1n;

const open = (dev: Handle): Command => ({ do: 'vfio_open', dev });
const bind = (dev: Handle, ctx: Handle = 'ctx'): Command => ({ do: 'vfio_bind', dev, ctx });
const attach = (dev: Handle, pt: Handle): Command => ({ do: 'vfio_attach', dev, pt });
const detach = (dev: Handle): Command => ({ do: 'vfio_detach', dev });
const close = (dev: Handle): Command => ({ do: 'vfio_close', dev });
const alloc = (as: Handle, ctx: Handle = 'ctx'): Command => ({ do: 'ioas_alloc', ctx, as });
const hwpt = (as: Handle, ioas: Handle = 'a', dev: Handle = 'dev0', flags = 0n): Command => {
  return { do: 'hwpt_alloc', dev, ioas, as, flags };
};
const destroy = (obj: Handle): Command => ({ do: 'destroy', obj });
const ranges = (ioas: Handle): Command => ({ do: 'ioas_iova_ranges', ioas });
const map = (ioas: Handle, iova: bigint, length = 0x1000n, offset = 0n): Command => {
  return { do: 'ioas_map', ioas, mem: 'm0', offset, length, prot: 'rw', iova };
};
const closeContext: Command = { do: 'iommufd_close', ctx: 'ctx' };

/** One context with two IOASes: memory at 16 MiB of `a`, and at 32 MiB of `b`; two of the devices are one group. */
const start = (config: MachineConfig = machine): State =>
  play(
    initial(config),
    { do: 'iommufd_open', as: 'ctx' },
    ...['dev0', 'dev4', 'dev5'].flatMap((dev) => [open(dev), bind(dev)]),
    alloc('a'),
    alloc('b'),
    { do: 'mem_alloc', as: 'm0', length: 0x8000n },
    map('a', 0x100_0000n),
    map('b', 0x200_0000n),
  );
const inA = [[0x100_0000n, 'm0+0x0', 0x1000n, 'rw']];
const inB = [[0x200_0000n, 'm0+0x0', 0x1000n, 'rw']];

describe('attach', () => {
  test('gives a device what its IOAS maps, and a detach takes it away', () => {
    const s = play(start(), attach('dev0', 'a'));
    expect(reaches(s, 'dev0')).toEqual(inA);
    expect(reaches(play(s, detach('dev0')), 'dev0')).toEqual([]);
  });

  test('of an attached device replaces, and to the same place does nothing', () => {
    const s = play(start(), attach('dev0', 'a'), attach('dev0', 'b'));
    expect(reaches(s, 'dev0')).toEqual(inB);
    expect(reaches(play(s, attach('dev0', 'b')), 'dev0')).toEqual(inB);
    expect(answer(s, destroy('a'))).toEqual({});
  });

  test('to a manual domain is not to the automatic one, though both translate alike', () => {
    const s = play(start(), hwpt('h'), attach('dev4', 'h'));
    expect(reaches(s, 'dev4')).toEqual(inA);
    expect(answer(s, attach('dev5', 'a'))).toBe('EINVAL');
    expect(answer(s, attach('dev5', 'h'))).toEqual({});
  });

  test('moves the whole group when the device is attached, and only joins when it is not', () => {
    const s = play(start(), attach('dev4', 'a'));
    expect(answer(s, attach('dev5', 'b'))).toBe('EINVAL');
    const moved = play(s, attach('dev5', 'a'), attach('dev5', 'b'));
    expect([reaches(moved, 'dev4'), reaches(moved, 'dev5')]).toEqual([inB, inB]);
    expect(answer(play(moved, detach('dev4')), attach('dev4', 'a'))).toBe('EINVAL');
  });

  test('of one device is enough for the whole group to reach, detached and closed ones, too', () => {
    const s = play(start(), attach('dev4', 'a'), attach('dev5', 'a'), detach('dev4'), close('dev4'));
    expect(reaches(s, 'dev4')).toEqual(inA);
    expect(reaches(play(s, detach('dev5')), 'dev4')).toEqual([]);
  });

  test('finds an IOAS of a closed context, which the bound device keeps alive', () => {
    const s = play(start(), closeContext, attach('dev0', 'a'));
    expect(reaches(s, 'dev0')).toEqual(inA);
    expect(answer(s, destroy('a'))).toBe('EBADF');
    expect(answer(s, ranges('a'))).toBe('EBADF');
  });

  test.each([
    ['EBADF', 'never', 'a name never given'],
    ['EBADF', 'm0', 'memory'],
    ['ENOENT', 'gone', 'a destroyed IOAS'],
    ['ENOENT', 'far', 'an IOAS of another context'],
    ['EADDRINUSE', 'msi', 'an area where the device must reserve'],
    ['EADDRINUSE', 'low', 'an area below the aperture'],
    ['EADDRINUSE', 'odd', 'an area that is not made of pages'],
    ['EFAULT', 'void', 'an area without memory'],
    ['EADDRINUSE', 'msi and void', 'a reserved area before one without memory'],
  ])('answers %s to %s: %s', (errno, pt) => {
    const far: Command[] = [{ do: 'iommufd_open', as: 'ctx2' }, alloc('far', 'ctx2'), alloc('gone'), destroy('gone')];
    const s = play(
      start(),
      ...far,
      ...['msi', 'low', 'odd', 'void', 'msi and void'].map((as) => alloc(as)),
      map('msi', 0xfee0_0000n),
      map('low', 0n),
      map('odd', 0x100_0000n, 0x800n),
      map('void', 0x100_0000n, 0x1000n, 0x8000n),
      map('msi and void', 0xfee0_0000n, 0x1000n, 0x8000n),
    );
    expect(answer(s, attach('dev0', pt))).toBe(errno);
    expect(reaches(play(s, attach('dev0', 'a'), attach('dev0', pt)), 'dev0')).toEqual(inA);
  });

  test('that replaces fills the new domain first, and then reserves', () => {
    const s = play(start(), attach('dev0', 'a'), alloc('c'), map('c', 0xfee0_0000n, 0x1000n, 0x8000n));
    expect(answer(s, attach('dev0', 'c'))).toBe('EFAULT');
    const filled = play(start(), attach('dev0', 'a'), alloc('c'), map('c', 0xfee0_0000n));
    expect(answer(filled, attach('dev0', 'c'))).toBe('EADDRINUSE');
  });

  test('needs a domain whose pages are no greater than those of the machine', () => {
    expect(answer(start({ ...machine, pageSizes: [0x1_0000n] }), attach('dev0', 'a'))).toBe('EINVAL');
  });

  test('and detach need a device that is bound', () => {
    const s = play(start(), close('dev0'));
    expect(answer(s, attach('dev0', 'a'))).toBe('EBADF');
    expect(answer(play(s, open('dev0')), attach('dev0', 'a'))).toBe('EINVAL');
    expect(answer(play(s, open('dev0')), detach('dev0'))).toBe('EINVAL');
    expect(answer(start(), detach('dev0'))).toEqual({});
  });
});

describe('a manual domain', () => {
  test('goes only when it is destroyed, and only while no device is in it', () => {
    const s = play(start(), hwpt('h'), attach('dev0', 'h'));
    expect(answer(s, destroy('h'))).toBe('EBUSY');
    expect(answer(s, destroy('a'))).toBe('EBUSY');
    const left = play(s, detach('dev0'));
    expect(answer(left, destroy('a'))).toBe('EBUSY');
    expect(answer(play(left, destroy('h')), destroy('a'))).toEqual({});
    expect(answer(play(left, destroy('h')), destroy('h'))).toBe('ENOENT');
    expect(answer(left, destroy('never'))).toBe('EBADF');
  });

  test.each([
    ['EBADF', hwpt('h', 'never', 'dev0', 1n)],
    ['ENOENT', hwpt('h', 'gone', 'dev4', 1n)],
    ['EINVAL', hwpt('h', 'gone', 'dev0', 1n)],
    ['EOPNOTSUPP', hwpt('h', 'h0')],
    ['EOPNOTSUPP', hwpt('h', 'low', 'dev0', 1n)],
    ['EADDRINUSE', hwpt('h', 'low')],
  ] as const)('answers %s to %o', (errno, command) => {
    const s = play(start(), close('dev4'), alloc('gone'), destroy('gone'), hwpt('h0'), alloc('low'), map('low', 0n));
    expect(answer(s, command)).toBe(errno);
  });
});

describe('iova_ranges', () => {
  test('are everything until there is a domain, and less while a device is in it', () => {
    expect(answer(start(), ranges('a'))).toEqual({ ranges: [[0n, MAX]], alignment: 1n });
    const manual = play(start(), hwpt('h'));
    expect(answer(manual, ranges('a'))).toEqual({ ranges: [[0x1000n, 0xffff_ffff_ffffn]], alignment: 0x1000n });
    const holes = [
      [0x1000n, 0xfedf_ffffn],
      [0xfef0_0000n, 0xffff_ffff_ffffn],
    ];
    expect(answer(play(manual, attach('dev0', 'h')), ranges('a'))).toEqual({ ranges: holes, alignment: 0x1000n });
    expect(answer(play(start(), attach('dev0', 'a')), ranges('a'))).toEqual({ ranges: holes, alignment: 0x1000n });
    expect(answer(play(start(), attach('dev0', 'a'), detach('dev0')), ranges('a'))).toEqual({
      ranges: [[0n, MAX]],
      alignment: 1n,
    });
  });

  test('are those of an IOAS that is there', () => {
    expect(answer(start(), ranges('never'))).toBe('EBADF');
    expect(answer(play(start(), destroy('b')), ranges('b'))).toBe('ENOENT');
    expect(answer(play(start(), hwpt('h')), ranges('h'))).toBe('ENOENT');
  });
});

describe('a context', () => {
  test('goes when its descriptor is closed and its last device, too', () => {
    const s = play(start(), close('dev4'), close('dev5'), closeContext);
    expect(s.ioases).toHaveLength(2);
    expect(play(s, close('dev0')).ioases).toEqual([]);
    expect(answer(s, closeContext)).toBe('EBADF');
    expect(answer(s, alloc('c'))).toBe('EBADF');
  });

  test('has a device to itself, and its group', () => {
    const other: Command = { do: 'iommufd_open', as: 'ctx2' };
    const s = play(start(), other, close('dev0'), close('dev4'));
    expect(answer(s, bind('dev0'))).toBe('EBADF');
    expect(answer(play(s, open('dev0')), bind('dev0', 'never'))).toBe('EBADF');
    expect(answer(s, bind('dev5', 'never'))).toBe('EINVAL');
    expect(answer(play(s, open('dev4')), bind('dev4', 'ctx2'))).toBe('EPERM');
    expect(answer(play(s, open('dev4')), bind('dev4'))).toEqual({});
    expect(answer(play(s, close('dev5'), open('dev4')), bind('dev4', 'ctx2'))).toEqual({});
  });
});
