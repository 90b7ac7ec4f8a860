import { describe, expect, test } from 'vitest';
import { neverMappedWhileRevoked } from '../../model/invariants.ts';
import { observe, reaches } from '../../model/observe.ts';
import { initial, type State } from '../../model/spec.ts';
import type { Command, Handle } from '../../trace/command.ts';
import { answer, device, play } from './model-rig.ts';
import { attach, BASE, copy, machine, mapFile, mapUser, memory, start } from './model-scene.ts';

const MAX = 2n ** 64n - 1n;

const mmap = (more: Partial<Extract<Command, { do: 'bar_mmap' }>> = {}): Command => {
  return { do: 'bar_mmap', dev: 'dev0', region: 2, offset: 0x1000n, length: 0x2000n, as: 'v0', ...more };
};
const peek = (offset = 0n, map: Handle = 'v0'): Command => ({ do: 'peek', map, offset });
const munmap = (map: Handle = 'v0'): Command => ({ do: 'munmap', map });
const open: Command = { do: 'vfio_open', dev: 'dev0' };
const bind = (ctx = 'ctx'): Command => ({ do: 'vfio_bind', dev: 'dev0', ctx });
const close: Command = { do: 'vfio_close', dev: 'dev0' };
const closeContext: Command = { do: 'iommufd_close', ctx: 'ctx' };
const power = (state: 0 | 3): Command => ({ do: 'vfio_power', dev: 'dev0', state });
const reset: Command = { do: 'vfio_reset', dev: 'dev0' };
const BUS = { signal: 'SIGBUS' };
const AT = { value: 'dev0:2+0x1000' };

describe('a mapping of a BAR', () => {
  test.each<[string, unknown, State, Command]>([
    ['of a closed device', 'EBADF', play(start(), close), mmap({ length: 0n })],
    ['of no bytes', 'EINVAL', start(), mmap({ length: 0n, offset: MAX })],
    ['from inside a page', 'EINVAL', start(), mmap({ offset: 0x800n, length: MAX })],
    ['of a device that is not bound', 'EINVAL', play(start(), close, open), mmap({ length: MAX })],
    ['of more than a process can have', 'ENOMEM', start(), mmap({ offset: MAX - 0xfffn, length: 1n << 47n })],
    ['past the end of the file', 'EOVERFLOW', start(), mmap({ offset: MAX - 0xfffn - (2n << 40n) })],
    ['past the end of its region', 'EINVAL', start(), mmap({ offset: 1n << 40n })],
    ['of a BAR that is not there', 'EINVAL', start(), mmap({ region: 4 })],
    ['of no BAR', 'EINVAL', start(), mmap({ region: 9 })],
    ['past the end of the BAR', 'EINVAL', start(), mmap({ offset: 0x3f_f000n })],
    ['past the end of the BAR, by a byte', 'EINVAL', start(), mmap({ offset: 0x3f_f000n, length: 0x1001n })],
    ['to the end of the BAR', {}, start(), mmap({ offset: 0x3f_e000n })],
    ['while memory is off', {}, play(start(), memory(false)), mmap()],
  ])('%s: %o', (_, expected, s, command) => {
    expect(answer(s, command)).toEqual(expected);
  });

  test('of a BAR that is smaller than a page is of its page', () => {
    const devices = new Map([['dev0', device(0, { bars: new Map([[0, 0x100n]]) })]]);
    const s = play(initial({ ...machine, devices }), { do: 'iommufd_open', as: 'ctx' }, open, bind());
    expect(answer(s, mmap({ region: 0, offset: 0n, length: 0x100n }))).toEqual({});
    const mapped = play(s, mmap({ region: 0, offset: 0n, length: 0x100n }));
    const [last, next] = [answer(mapped, peek(0xfcn)), answer(mapped, peek(0x100n))];
    expect([last, next]).toEqual([{ value: 'dev0:0+0xfc' }, { value: '?' }]);
  });

  test('is of whole pages', () => {
    const s = play(start(), mmap({ length: 1n }));
    expect(answer(s, peek(0xffcn))).toEqual({ value: 'dev0:2+0x1ffc' });
    expect(answer(s, peek(0xffdn))).toBe('EFAULT');
    expect(answer(s, peek(0x1000n))).toBe('EFAULT');
  });

  test('that failed, is undone or never was, cannot be looked at, undone, or mapped', () => {
    const s = play(start(), mmap(), munmap(), mmap({ region: 9, as: 'v1' }));
    for (const name of ['v0', 'v1', 'v2', 'm0', 'b0']) {
      expect(answer(s, peek(MAX, name))).toBe('EBADF');
      expect(answer(s, munmap(name))).toBe('EBADF');
    }
    expect(answer(s, mapUser({ mem: 'v0' }))).toBe('EBADF');
    expect(answer(s, { do: 'fd_close', fd: 'v0' })).toBe('EBADF');
    expect(answer(play(start(), mmap()), { do: 'fd_close', fd: 'v0' })).toBe('EBADF');
  });

  test('faults while the device does not answer, and works again afterwards', () => {
    const resets = ['bus', 'pm', 'flr'] as const;
    const devices = new Map([['dev0', device(0, { resets: [...resets] })]]);
    const bare = play(initial({ ...machine, devices }), { do: 'iommufd_open', as: 'ctx' }, open, bind(), mmap());
    expect(answer(bare, peek())).toEqual(AT);
    expect(answer(play(bare, memory(false)), peek())).toEqual(BUS);
    expect(answer(play(bare, memory(false), reset), peek())).toEqual(BUS);
    expect(answer(play(bare, memory(false), memory(true)), peek())).toEqual(AT);
    expect(answer(play(bare, power(3)), peek())).toEqual(BUS);
    expect(answer(play(bare, power(3), memory(true)), peek())).toEqual(BUS);
    expect(answer(play(bare, power(3), power(0)), peek(4n))).toEqual({ value: 'dev0:2+0x1004' });
    expect(answer(play(bare, power(3), { do: 'vfio_flr', dev: 'dev0' }), peek())).toEqual(AT);
    expect(answer(play(bare, reset), peek())).toEqual(AT);
  });

  test('shows as what the CPU reaches, as long as it does', () => {
    const s = play(start(), mmap());
    expect(observe(s).cpu).toEqual([{ map: 'v0', at: 0n, memory: 'dev0:2', offset: 0x1000n, length: 0x2000n }]);
    expect(observe(play(s, memory(false))).cpu).toEqual([]);
    expect(observe(play(s, munmap())).cpu).toEqual([]);
    const stale = { ...observe(play(s, memory(false))), cpu: observe(s).cpu };
    expect(neverMappedWhileRevoked.breaches(stale)).toHaveLength(1);
  });
});

describe('a device whose descriptor is closed while the CPU maps a BAR', () => {
  const s = play(start(), attach('a', 'dev0'), attach(), mapFile(), mmap(), close);
  const BAR = [[BASE, 'dev0:2+0x10000', 0x4000n, 'rw']];

  test('stays as it is: attached, with what it exported', () => {
    expect(reaches(s, 'dev1')).toEqual(BAR);
    expect(answer(s, mapFile({ iova: 2n * BASE }))).toEqual({ iova: 2n * BASE });
    expect(answer(s, peek())).toEqual(AT);
    expect(answer(s, reset)).toBe('EBADF');
    expect(answer(s, mmap({ as: 'v1' }))).toBe('EBADF');
  });

  test('can be opened, but not bound', () => {
    const again = play(s, open);
    expect(answer(again, bind())).toBe('EINVAL');
    expect(answer(again, bind('nobody'))).toBe('EBADF');
    expect(answer(again, reset)).toBe('EINVAL');
    expect(answer(again, mmap({ as: 'v1' }))).toBe('EINVAL');
    expect(reaches(play(again, close), 'dev1')).toEqual(BAR);
    expect(answer(play(again, close), close)).toBe('EBADF');
  });

  test('goes with its last mapping, and what it exported with it, for good', () => {
    const two = play(start(), attach(), mapFile(), mmap(), mmap({ as: 'v1' }), close);
    expect(reaches(play(two, munmap('v1')), 'dev1')).toEqual(BAR);
    const gone = play(two, munmap('v1'), open, munmap());
    expect(reaches(gone, 'dev1')).toEqual([]);
    expect(answer(gone, mapFile({ iova: 2n * BASE }))).toBe('ENODEV');
    expect(answer(gone, bind())).toEqual({});
    expect(answer(play(gone, bind()), mapFile({ iova: 2n * BASE }))).toBe('ENODEV');
    expect(answer(play(gone, bind(), memory(true)), mmap())).toEqual({});
  });

  test('keeps its context, and takes it along', () => {
    const alone = play(start(), { do: 'vfio_close', dev: 'dev1' }, mmap(), closeContext, close);
    expect(alone.ioases).toHaveLength(2);
    expect(play(alone, munmap()).ioases).toEqual([]);
  });

  test('is not let go of by a mapping that ends while the descriptor is open', () => {
    const before = play(start(), attach(), mapFile(), mmap());
    const after = play(before, munmap());
    expect(reaches(after, 'dev1')).toEqual(BAR);
    expect(answer(after, { do: 'vfio_memory', dev: 'dev0', enable: true })).toEqual({});
  });
});

test('an area that the CPU maps from a BAR cannot be had by a domain', () => {
  const bar = mapUser({ mem: 'v0', length: 0x1000n });
  const s = play(start(), mmap(), bar);
  expect(answer(play(start(), mmap()), bar)).toEqual({ iova: BASE });
  expect(answer(s, attach())).toBe('EFAULT');
  expect(answer(play(start(), mmap(), attach()), bar)).toBe('EFAULT');
  expect(answer(play(s, attach('b')), copy({ dst: 'b' }))).toBe('EFAULT');
  expect(answer(s, copy())).toEqual({ iova: 0x200_0000n });
  // It is no area of a dma-buf: a revoke leaves it alone.
  expect(observe(play(s, memory(false))).areas.map(({ shot, slice }) => [shot, slice])).toEqual([[false, undefined]]);
  expect(answer(play(s, { do: 'ioas_unmap', ioas: 'a', iova: 0n, length: MAX }), attach())).toEqual({});
});

test.each<[string, string, State, Partial<Extract<Command, { do: 'fd_mmap' }>>]>([
  ['of a closed descriptor', 'EBADF', play(start(), { do: 'fd_close', fd: 'b0' }), { length: 0n }],
  ['of nothing', 'EBADF', start(), { fd: 'z' }],
  ['of no bytes', 'EINVAL', start(), { length: 0n }],
  ['from inside a page', 'EINVAL', start(), { offset: 1n, length: MAX }],
  ['past the end of any file', 'EOVERFLOW', start(), { offset: MAX - 0xfffn }],
  ['of a dma-buf', 'EINVAL', start(), {}],
])('a CPU mapping %s: %s', (_, expected, s, more) => {
  expect(answer(s, { do: 'fd_mmap', fd: 'b0', offset: 0n, length: 0x1000n, as: 'v0', ...more })).toBe(expected);
});
