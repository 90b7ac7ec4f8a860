import { describe, expect, test } from 'vitest';
import { reaches } from '../../model/observe.ts';
import { reach } from '../../model/spec.ts';
import { answer, play } from './model-rig.ts';
import { attach, BASE, copy, mapFile, mapUser, memory, small, start } from './model-scene.ts';

const MAX = 2n ** 64n - 1n;

describe('map, of a dma-buf', () => {
  test('reaches the bytes of the BAR that were asked for, and no others', () => {
    const s = play(start(), attach(), mapFile({ start: 0x1000n, length: 0x2000n, prot: 'r' }));
    expect(reaches(s, 'dev1')).toEqual([[BASE, 'dev0:2+0x11000', 0x2000n, 'r']]);
    expect(reach(s, 'dev1', BASE + 0x1fffn)).toEqual({ memory: 'dev0:2', offset: 0x1_2fffn, prot: 'r' });
    expect(reach(s, 'dev1', BASE + 0x2000n)).toBeUndefined();
    expect(reach(s, 'dev1', BASE - 1n)).toBeUndefined();
    expect(reaches(s, 'dev0')).toEqual([]);
  });

  test('begins and ends inside a page when the domain has smaller pages', () => {
    const s = play(start(small), attach(), mapFile({ start: 0x1800n, length: 0x1000n, iova: BASE + 0x800n }));
    expect(reaches(s, 'dev1')).toEqual([[BASE + 0x800n, 'dev0:2+0x11800', 0x1000n, 'rw']]);
    const copied = play(s, copy({ src_iova: BASE + 0x1000n, length: 0x800n, dst_iova: 0x200_0000n }));
    expect(reach(copied, 'dev1', 0x200_0000n)?.offset).toBe(0x1_2000n);
    expect(reaches(play(copied, memory(false)), 'dev1')).toEqual([]);
  });

  test('need not be congruent to its IOVA', () => {
    const s = play(start(small), attach(), mapFile({ start: 0x800n, length: 0x800n, iova: 0x300_0000n }));
    expect(reach(s, 'dev1', 0x300_0000n)?.offset).toBe(0x1_0800n);
  });

  test('is one row with its neighbour when both go on in the same memory with the same protection', () => {
    const next = { start: 0x1000n, length: 0x1000n, iova: BASE + 0x1000n };
    const s = play(start(), attach(), mapFile({ length: 0x1000n }), mapFile(next), mapUser({ iova: BASE + 0x2000n }));
    const user = [BASE + 0x2000n, 'm0+0x0', 0x2000n, 'rw'];
    expect(reaches(s, 'dev1')).toEqual([[BASE, 'dev0:2+0x10000', 0x2000n, 'rw'], user]);
  });

  test.each([
    ['EBADF', { ioas: 'never', flags: 8n }, 'an IOAS never named before everything else'],
    ['EBADF', { ioas: 'm0' }, 'memory where an IOAS is asked for'],
    ['EOPNOTSUPP', { flags: 8n, iova: MAX, prot: '' }, 'unknown flags first'],
    ['EOVERFLOW', { iova: MAX, prot: '' }, 'the last IOVA before the protection'],
    ['EOVERFLOW', { length: MAX, prot: '' }, 'the greatest length before the protection'],
    ['EINVAL', { prot: '', ioas: 'gone' }, 'no protection before the IOAS'],
    ['ENOENT', { ioas: 'gone', length: 0n }, 'a destroyed IOAS before the length'],
    ['ENOENT', { ioas: 'h', length: 0n }, 'a HWPT, which is the wrong type'],
    ['EINVAL', { length: 0n, fd: 'shut' }, 'no length before the descriptor'],
    ['EOVERFLOW', { start: MAX, length: 2n, fd: 'shut' }, 'a wrap before the descriptor'],
    ['EBADF', { fd: 'shut', start: 0x4000n }, 'a closed descriptor before the size'],
    ['EBADF', { fd: 'm0' }, 'memory where a descriptor is asked for'],
    ['EINVAL', { fd: 'b2', start: 1n, length: 0x2000n }, 'one byte too many before the number of ranges'],
    ['EOPNOTSUPP', { fd: 'b2', length: 0x2000n, iova: 1n }, 'two ranges before the place'],
    ['EINVAL', { fd: 'f0', length: MAX - 0xffen }, 'a memfd that leaves no page'],
    ['EINVAL', { length: 0x800n }, 'a ragged length'],
    ['EINVAL', { iova: BASE + 1n, length: 0x1000n }, 'a ragged IOVA'],
    ['EOVERFLOW', { iova: MAX - 0xfffn, length: 0x2000n }, 'a wrap at the end of the address space'],
    ['EINVAL', { iova: 0xfee0_0000n, length: 0x1000n }, 'a reserved place'],
    ['EINVAL', { iova: 0x1_0000_0000_0000n, length: 0x1000n }, 'a place beyond the aperture'],
    ['EEXIST', { iova: 0x400_3000n, length: 0x1000n }, 'an area that is in the way'],
    ['EINVAL', { start: 0x800n, length: 0x1000n }, 'a ragged offset'],
    ['EINVAL', { fd: 'f0', start: 0x8000n, length: 0x1000n }, 'a memfd shorter than what is mapped'],
  ] as const)('answers %s to %o: %s', (errno, more, _) => {
    const s = play(
      start(),
      { do: 'ioas_alloc', ctx: 'ctx', as: 'gone' },
      { do: 'destroy', obj: 'gone' },
      { do: 'fd_dup', fd: 'b0', as: 'shut' },
      { do: 'fd_close', fd: 'shut' },
      { do: 'hwpt_alloc', dev: 'dev0', ioas: 'a', as: 'h' },
      attach(),
      mapFile({ iova: 0x400_0000n }),
    );
    expect(answer(s, mapFile(more))).toBe(errno);
  });

  test('tells a wrong size before the revoke, and the revoke before the place', () => {
    const s = play(start(), attach(), memory(false));
    expect(answer(s, mapFile({ length: 0x4001n }))).toBe('EINVAL');
    expect(answer(s, mapFile({ iova: BASE + 1n }))).toBe('ENODEV');
    expect(answer(s, mapFile({ fd: 'b2', length: 0x1000n }))).toBe('ENODEV');
  });
});

describe('map, of user memory and memfds', () => {
  test.each([
    ['EBADF', { mem: 'f0', flags: 8n }],
    ['EOVERFLOW', { offset: 0x7fff_0000_0000_0000n, length: 2n ** 63n + 2n ** 48n }],
    ['EINVAL', { length: 0n }],
    ['EFAULT', { offset: 0x7000n }],
    ['EFAULT', { offset: MAX - 0xfffn, length: 0x1000n }],
  ])('answers %s to %o once there is a domain', (errno, more) => {
    expect(answer(play(start(), attach()), mapUser(more))).toBe(errno);
  });

  test('looks at the memory only when a domain is there to be filled', () => {
    const s = play(start(), mapUser({ offset: 0x8000n }), mapFile({ fd: 'f0', start: 0x8000n, ioas: 'b' }));
    expect(answer(s, attach('a'))).toBe('EFAULT');
    expect(answer(s, attach('b'))).toBe('EINVAL');
    expect(answer(s, { do: 'hwpt_alloc', dev: 'dev0', ioas: 'a', as: 'h' })).toBe('EFAULT');
  });

  test('may end in the rest of the last page, which is there too', () => {
    const s = play(start(), attach(), { do: 'mem_alloc', as: 'm1', length: 0x1800n });
    expect(answer(s, mapUser({ mem: 'm1' }))).toEqual({ iova: BASE });
  });
});
