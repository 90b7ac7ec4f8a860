import { describe, expect, test } from 'vitest';
import { invariants } from '../../model/invariants.ts';
import { observe, reaches } from '../../model/observe.ts';
import { initial, type State } from '../../model/spec.ts';
import type { Command, Handle } from '../../trace/command.ts';
import { answer, play } from './model-rig.ts';
import { BASE, copy, machine, small, start as vtd } from './model-scene.ts';

const MAX = 2n ** 64n - 1n;

const dev = (name: Handle, ioas: Handle = 'a', as = `h-${name}`): Command => {
  return { do: 'mock_domain', ioas, as, dev: name };
};
const remove = (name: Handle): Command => ({ do: 'mock_domain_destroy', dev: name });
const buffer = (length: bigint, as: Handle = 'd'): Command => ({ do: 'mock_dmabuf', length, as });
const revoke = (revoked: boolean, fd: Handle = 'd'): Command => ({ do: 'mock_revoke', fd, revoked });
const map = (more: Partial<Extract<Command, { do: 'ioas_map_file' }>> = {}): Command => {
  return { do: 'ioas_map_file', ioas: 'a', fd: 'd', start: 0n, length: 0x4000n, prot: 'rw', iova: BASE, ...more };
};
const hwpt = (more: Partial<Extract<Command, { do: 'hwpt_alloc' }>> = {}): Command => {
  return { do: 'hwpt_alloc', dev: 'md0', ioas: 'a', as: 'p', ...more };
};
const destroy = (obj: Handle): Command => ({ do: 'destroy', obj });
const close: Command = { do: 'iommufd_close', ctx: 'ctx' };
const unmapAll: Command = { do: 'ioas_unmap', ioas: 'a', iova: 0n, length: MAX };
const start = play(
  initial({ ...small, devices: new Map() }),
  { do: 'iommufd_open', as: 'ctx' },
  { do: 'ioas_alloc', ctx: 'ctx', as: 'a' },
  { do: 'ioas_alloc', ctx: 'ctx', as: 'b' },
  buffer(0x4000n),
);
const ALL = [[BASE, 'd+0x0', 0x4000n, 'rw']];

describe('a test device', () => {
  const forbids: Command = { do: 'ioas_allow_iovas', ioas: 'a', ranges: [[0x1000n, BASE]] };

  test.each<[string, unknown, State, Command]>([
    ['in a closed iommufd', 'EBADF', play(start, close), dev('md0')],
    ['in nothing', 'EBADF', start, dev('md0', 'z')],
    ['in a destroyed IOAS', 'ENOENT', play(start, destroy('a')), dev('md0')],
    ['in a destroyed domain', 'ENOENT', play(start, dev('md0'), hwpt(), destroy('p')), dev('md1', 'p')],
    ['in an automatic domain that is gone', 'ENOENT', play(start, dev('md0'), remove('md0')), dev('md1', 'h-md0')],
    ['where an area is of less than a domain maps', 'EADDRINUSE', play(start, map({ length: 1n })), dev('md0')],
    ['where an area is outside the aperture', 'EADDRINUSE', play(start, map({ iova: 0x1000n })), dev('md0')],
    ['where the kernel may choose outside the aperture', 'EADDRINUSE', play(start, forbids), dev('md0')],
    ['in an IOAS', {}, start, dev('md0')],
    ['in a domain', {}, play(start, dev('md0'), hwpt()), dev('md1', 'p')],
    ['in an automatic domain, by its name', {}, play(start, dev('md0')), dev('md1', 'h-md0')],
  ])('%s: %o', (_, expected, s, command) => {
    expect(answer(s, command)).toEqual(expected);
  });

  test('that failed is no device', () => {
    const s = play(start, map({ length: 1n }), dev('md0'));
    expect(reaches(s, 'md0')).toEqual([]);
    expect(answer(s, remove('md0'))).toBe('EBADF');
    expect(answer(s, hwpt())).toBe('ENOENT');
    expect(answer(s, destroy('h-md0'))).toBe('EBADF');
    expect(answer(s, { do: 'ioas_iova_ranges', ioas: 'a' })).toEqual({ ranges: [[0n, MAX]], alignment: 1n });
  });

  test('shares the automatic domain of an IOAS, whatever names that has', () => {
    const s = play(start, map(), dev('md0'), dev('md1'));
    expect([reaches(s, 'md0'), reaches(s, 'md1')]).toEqual([ALL, ALL]);
    expect(observe(s).ptes).toHaveLength(1);
    expect(answer(s, { do: 'ioas_iova_ranges', ioas: 'a' })).toEqual({
      ranges: [[0x100_0000n, 0x7fff_ffffn]],
      alignment: 0x800n,
    });
    const one = play(s, remove('md0'));
    expect([reaches(one, 'md0'), reaches(one, 'md1')]).toEqual([[], ALL]);
    expect(answer(one, destroy('h-md0'))).toBe('EBUSY');
    expect(answer(play(one, remove('md1')), destroy('h-md0'))).toBe('ENOENT');
    expect(answer(play(one, remove('md1'), dev('md0', 'a', 'h2')), destroy('h-md1'))).toBe('ENOENT');
    expect(answer(play(one, remove('md1')), destroy('a'))).toEqual({});
  });

  test('in a domain made by hand leaves the automatic one alone, and keeps its own', () => {
    const s = play(start, map(), dev('md0'), hwpt(), dev('md1', 'p'));
    expect(observe(s).ptes.map(({ domain }) => domain)).toEqual(['a', 'p']);
    expect(answer(s, destroy('h-md1'))).toBe('EBUSY');
    const left = play(s, remove('md1'));
    expect(observe(left).ptes.map(({ domain }) => domain)).toEqual(['a', 'p']);
    expect(answer(play(left, destroy('h-md1')), destroy('p'))).toBe('ENOENT');
  });

  test.each([
    [0n, {}],
    [1n, {}],
    [2n, {}],
    [4n, 'EOPNOTSUPP'],
    [0x1_0000n, 'EOPNOTSUPP'],
  ])('makes a domain with the flags %i: %o', (flags, expected) => {
    expect(answer(play(start, dev('md0')), hwpt({ flags }))).toEqual(expected);
  });

  test('that is gone makes no domain, and cannot go twice; its name may be given again', () => {
    const s = play(start, dev('md0'), remove('md0'));
    expect(answer(s, hwpt())).toBe('ENOENT');
    expect(answer(s, remove('md0'))).toBe('ENOENT');
    expect(answer(start, remove('md0'))).toBe('EBADF');
    const again = play(s, map(), dev('md0'));
    expect(reaches(again, 'md0')).toEqual(ALL);
    expect(answer(play(again, close), remove('md0'))).toBe('EBADF');
  });

  test('goes with its context', () => {
    const s = play(start, map(), dev('md0'), close);
    expect([s.ioases, s.devices, reaches(s, 'md0')]).toEqual([[], [], []]);
  });

  test('beside devices of the machine lives as long as they keep its context, and no device is reset with it', () => {
    const s = play(vtd(), buffer(0x4000n), map(), dev('md0'), dev('md1'), close);
    expect(reaches(s, 'md1')).toEqual(ALL);
    const reset = play(s, { do: 'vfio_hot_reset', dev: 'dev0' });
    expect(reaches(reset, 'md0')).toEqual(ALL);
    const gone = play(s, { do: 'vfio_close', dev: 'dev0' }, { do: 'vfio_close', dev: 'dev1' });
    expect(gone.devices.map(({ name }) => name)).toEqual(['dev0', 'dev1']);
    expect(reaches(gone, 'md1')).toEqual([]);
  });

  test('is no device of a file', () => {
    const s = play(start, dev('md0'));
    expect(answer(s, { do: 'vfio_attach', dev: 'md0', pt: 'a' })).toBe('EBADF');
    expect(answer(s, { do: 'dma_read', dev: 'md0', iova: BASE })).toBe('EBADF');
    expect(answer(vtd(), remove('dev0'))).toBe('EBADF');
  });
});

describe('a test buffer', () => {
  test.each<[bigint, unknown]>([
    [0n, 'EINVAL'],
    [0x20_0001n, 'EINVAL'],
    [1n << 63n, 'EINVAL'],
    [0x20_0000n, {}],
    [1n, {}],
  ])('of %i bytes: %o', (length, expected) => {
    expect(answer(start, buffer(length, 'e'))).toEqual(expected);
  });

  test('is of whole pages', () => {
    const s = play(start, dev('md0'), buffer(0x1001n, 'e'));
    expect(answer(s, map({ fd: 'e', start: 0x1000n, length: 0x1000n }))).toEqual({ iova: BASE });
    expect(answer(s, map({ fd: 'e', start: 0x1000n, length: 0x1800n }))).toBe('EINVAL');
  });

  test.each<[string, unknown, State, Command]>([
    ['that is closed', 'EBADF', play(start, { do: 'fd_close', fd: 'd' }), revoke(true)],
    ['that never was', 'EBADF', start, revoke(true, 'z')],
    ['that is a memfd', 'EINVAL', play(start, { do: 'memfd_create', as: 'f', length: 1n }), revoke(true, 'f')],
    ['of a device', 'EOPNOTSUPP', vtd(), revoke(true, 'b0')],
    ['by another descriptor', {}, play(start, { do: 'fd_dup', fd: 'd', as: 'e' }), revoke(true, 'e')],
    ['that is revoked already', {}, play(start, revoke(true)), revoke(true)],
    ['back, though it is not gone', {}, start, revoke(false)],
  ])('is revoked %s: %o', (_, expected, s, command) => {
    expect(answer(s, command)).toEqual(expected);
  });

  test('is refused while revoked: a wrong size comes first, and any place after', () => {
    const s = play(start, dev('md0'), revoke(true));
    expect(answer(s, map({ iova: BASE + 1n }))).toBe('ENODEV');
    expect(answer(s, map({ length: 0x4001n }))).toBe('EINVAL');
    expect(answer(play(s, revoke(false)), map({ iova: BASE + 1n }))).toBe('EINVAL');
    expect(answer(play(s, revoke(false)), map())).toEqual({ iova: BASE });
  });

  test('loses every area to a revoke, in every IOAS, for good', () => {
    const inB = copy({ dst: 'b', dst_iova: BASE, length: 0x4000n });
    const s = play(
      start,
      map(),
      inB,
      dev('md0'),
      dev('md1', 'b'),
      buffer(0x4000n, 'e'),
      map({ fd: 'e', iova: 2n * BASE }),
    );
    const E = [[2n * BASE, 'e+0x0', 0x4000n, 'rw']];
    expect([reaches(s, 'md0'), reaches(s, 'md1')]).toEqual([[...ALL, ...E], ALL]);
    const shot = play(s, revoke(true));
    expect([reaches(shot, 'md0'), reaches(shot, 'md1')]).toEqual([E, []]);
    expect(observe(shot).revoked).toEqual([{ memory: 'd', offset: 0n, length: 0x4000n }]);
    const back = play(shot, revoke(false));
    expect([reaches(back, 'md0'), observe(back).revoked]).toEqual([E, []]);
    expect(answer(back, map())).toBe('EEXIST');
    expect(answer(back, unmapAll)).toEqual({ length: 0x8000n });
  });

  test('loses every area to a restore, too', () => {
    const s = play(start, dev('md0'), map(), revoke(false));
    expect(reaches(s, 'md0')).toEqual([]);
    expect(reaches(play(s, map({ iova: 2n * BASE })), 'md0')).toEqual([[2n * BASE, 'd+0x0', 0x4000n, 'rw']]);
  });

  test('survives its descriptor while it is mapped, and what happens to devices', () => {
    const s = play(
      vtd(),
      buffer(0x4000n),
      map(),
      { do: 'vfio_attach', dev: 'dev1', pt: 'a' },
      { do: 'fd_close', fd: 'd' },
    );
    const away = play(s, { do: 'vfio_memory', dev: 'dev0', enable: false }, { do: 'vfio_close', dev: 'dev0' });
    expect(reaches(away, 'dev1')).toEqual(ALL);
    expect(machine.devices.size).toBe(2);
  });

  test('is reached from inside a page as it was mapped, by halves of pages', () => {
    const part = map({ start: 0x1800n, length: 0x1000n, iova: BASE + 0x800n });
    const slice = copy({ src_iova: BASE + 0x1000n, length: 0x800n });
    const s = play(start, dev('md0'), part, slice);
    expect(reaches(s, 'md0')).toEqual([
      [BASE + 0x800n, 'd+0x1800', 0x1000n, 'rw'],
      [0x200_0000n, 'd+0x2000', 0x800n, 'rw'],
    ]);
    expect(invariants.flatMap(({ breaches }) => breaches(observe(s)))).toEqual([]);
    const [first, second] = observe(s).ptes as [object, object];
    const wrong = { ...observe(s), ptes: [{ ...first, offset: 0x1000n }, second] } as ReturnType<typeof observe>;
    expect(invariants.flatMap(({ name, breaches }) => breaches(wrong).map(({ why }) => [name, why]))).toEqual([
      ['sub-page offsets correct', 'reaches d+0x1000, not d+0x1800'],
    ]);
  });
});

describe('a domain that tracks dirty pages', () => {
  const s = play(vtd(), dev('md0'), hwpt({ flags: 2n, as: 'd' }), hwpt({ flags: 1n, as: 'p' }));
  const attach = (pt: Handle, who: Handle = 'dev0'): Command => ({ do: 'vfio_attach', dev: who, pt });

  test('is for test devices only: no other can set dirty bits', () => {
    expect([answer(s, attach('d')), answer(s, attach('p')), answer(s, dev('md1', 'd'))]).toEqual(['EINVAL', {}, {}]);
    expect(answer(play(s, attach('p')), attach('d'))).toBe('EINVAL');
    expect(answer(s, hwpt({ dev: 'dev0', flags: 2n, as: 'x' }))).toBe('EOPNOTSUPP');
  });
});
