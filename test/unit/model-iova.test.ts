import { describe, expect, test } from 'vitest';
import { reaches } from '../../model/observe.ts';
import type { Command, Handle } from '../../trace/command.ts';
import { answer, play } from './model-rig.ts';
import { attach, BASE, copy, machine, mapFile, mapUser, memory, small, start } from './model-scene.ts';

const MAX = 2n ** 64n - 1n;

const mapAuto = (start: bigint, length: bigint, fd: Handle = 'b0'): Command => {
  return { do: 'ioas_map_file', ioas: 'a', fd, start, length, prot: 'rw' };
};
const unmap = (iova: bigint, length: bigint, ioas: Handle = 'a'): Command => ({ do: 'ioas_unmap', ioas, iova, length });

describe('automatic IOVA', () => {
  test.each([
    [0n, 0x4000n, 'no domain', 0x4000n],
    [0x1800n, 0x1000n, 'no domain', 0x1800n],
    [0x1800n, 0x1000n, 'small pages', 0x100_0800n],
    [0n, 0x4000n, 'small pages', 0x100_0000n],
  ] as const)('of %i, %i bytes with %s may be %i', (from, length, where, choice) => {
    const s = where === 'no domain' ? start() : play(start(small), attach());
    expect(answer(s, mapAuto(from, length), choice)).toEqual({ iova: choice });
  });

  test('is judged by what is promised of it', () => {
    const s = play(start(), attach(), mapFile());
    expect(answer(s, mapAuto(0n, 0x1000n), 0n)).toContain('EINVAL');
    expect(answer(s, mapAuto(0n, 0x1000n))).toContain('no IOVA was chosen, though there is room');
    expect(answer(s, mapAuto(0n, 0x1000n), BASE + 0x800n)).toBe(
      'IOVA 0x1000800 was chosen, and as a fixed one it is EINVAL',
    );
    expect(answer(s, mapAuto(0n, 0x1000n), 0xfee0_0000n)).toBe(
      'IOVA 0xfee00000 was chosen, and as a fixed one it is EINVAL',
    );
    expect(answer(s, mapAuto(0n, 0x1000n), BASE)).toBe('IOVA 0x1000000 was chosen, and as a fixed one it is EEXIST');
    expect(answer(s, mapAuto(0n, 0x1000n), MAX - 0xfffn)).toBe(
      'IOVA 0xfffffffffffff000 was chosen, and as a fixed one it is EINVAL',
    );
  });

  test('is refused when the length is half the address space', () => {
    expect(answer(start(), mapAuto(0n, 2n ** 63n - 1n, 'f0'))).toBe('EOVERFLOW');
  });

  test('is refused when the mapping is less aligned than the domain needs', () => {
    const s = play(start(small), attach());
    expect(answer(s, mapAuto(0x1400n, 0x1000n))).toBe('EINVAL');
  });

  test('is refused when no hole is long enough, even if only for the alignment', () => {
    const s = play(start(), attach());
    expect(answer(s, mapAuto(0n, 0xffff_0200_0000n, 'f0'))).toBe('ENOSPC');
    expect(answer(s, mapAuto(0n, 0xfee0_0000n, 'f0'))).toBe('EINVAL');
    const full = { ...machine, aperture: [0x20_0000n, 0x40_0000n] as const };
    expect(answer(play(start(full), attach()), mapAuto(0n, 0x20_1000n))).toBe('EINVAL');
    const tight = play(start(full), attach(), mapUser({ iova: 0x20_0000n }), {
      do: 'mem_alloc',
      as: 'm1',
      length: 1n,
    });
    expect(answer(tight, { do: 'ioas_map', ioas: 'a', mem: 'm1', offset: 0n, length: 0x1f_f000n, prot: 'r' })).toBe(
      'ENOSPC',
    );
    expect(
      answer(tight, { do: 'ioas_map', ioas: 'a', mem: 'm1', offset: 0x1000n, length: 0x1f_e000n, prot: 'r' }),
    ).toBe('EFAULT');
  });

  test('has its errors even when nothing was chosen', () => {
    const s = play(start(), mapFile({ prot: 'r' }));
    expect(answer(s, { do: 'ioas_copy', dst: 'b', src: 'a', src_iova: BASE, length: 1n, prot: 'w' })).toBe('EPERM');
  });
});

describe('copy', () => {
  test('reaches what its source reaches, and goes with it', () => {
    const s = play(start(), attach(), mapFile(), copy({ src_iova: BASE + 0x3000n, prot: 'r' }), copy({ dst: 'b' }));
    expect(reaches(s, 'dev1')[1]).toEqual([0x200_0000n, 'dev0:2+0x13000', 0x1000n, 'r']);
    const shot = play(s, memory(false), memory(true), attach('b', 'dev0'));
    expect([reaches(shot, 'dev1'), reaches(shot, 'dev0')]).toEqual([[], []]);
    expect(shot.ioases.flatMap(({ areas }) => areas.map(({ live }) => live))).toEqual([false, false, false]);
  });

  test('outlives its source', () => {
    const s = play(start(), attach(), mapFile(), copy(), unmap(BASE, 0x4000n));
    expect(reaches(s, 'dev1')).toEqual([[0x200_0000n, 'dev0:2+0x10000', 0x1000n, 'rw']]);
  });

  test('of a dead area is as dead', () => {
    const s = play(start(), attach(), mapFile(), memory(false), memory(true), copy());
    expect(s.ioases[0]?.areas.map(({ live }) => live)).toEqual([false, false]);
    expect(reaches(s, 'dev1')).toEqual([]);
  });

  test('takes several neighbours, one area for each', () => {
    const s = play(start(), mapFile(), mapUser({ iova: BASE + 0x4000n }), copy({ dst: 'b', length: 0x5000n }));
    expect(s.ioases[1]?.areas.map(({ iova, length }) => [iova, length])).toEqual([
      [0x200_0000n, 0x4000n],
      [0x200_4000n, 0x1000n],
    ]);
  });

  test('may write only if each of its areas may be written', () => {
    const s = play(start(), mapFile({ prot: 'r' }), mapUser({ iova: BASE + 0x4000n }));
    expect(answer(s, copy({ dst: 'b', length: 0x5000n }))).toBe('EPERM');
  });

  test('of odd pieces is refused by the domain that would have to map them', () => {
    const odd = { length: 0x1800n, start: 0n };
    const s = play(
      start(),
      mapFile(odd),
      mapFile({ start: 0x2000n, length: 0x800n, iova: BASE + 0x1800n }),
      attach('b'),
    );
    expect(answer(s, copy({ dst: 'b', length: 0x2000n }))).toBe('EINVAL');
    expect(answer(play(s, memory(false)), copy({ dst: 'b', length: 0x2000n }))).toEqual({ iova: 0x200_0000n });
  });

  test('with an automatic IOVA is as aligned as the byte of user space it begins with', () => {
    const s = play(start(), attach(), mapUser());
    const auto: Command = {
      do: 'ioas_copy',
      dst: 'a',
      src: 'a',
      src_iova: BASE + 0x1000n,
      length: 0x1000n,
      prot: 'rw',
    };
    expect(answer(s, auto, 0x5000n)).toEqual({ iova: 0x5000n });
  });

  test.each([
    ['EBADF', { src: 'never', flags: 8n }],
    ['EBADF', { dst: 'never', flags: 8n }],
    ['EOPNOTSUPP', { flags: 8n, length: MAX }],
    ['EOVERFLOW', { src_iova: MAX, prot: '' }],
    ['EOVERFLOW', { dst_iova: MAX, prot: '' }],
    ['EINVAL', { prot: '', src: 'gone' }],
    ['ENOENT', { src: 'gone', length: 0n }],
    ['EINVAL', { length: 0n, dst: 'gone' }],
    ['EOVERFLOW', { src_iova: MAX - 1n, length: 3n }],
    ['ENOENT', { src_iova: BASE - 0x1000n, length: 0x2000n }],
    ['ENOENT', { src_iova: 0n }],
    ['ENOENT', { dst: 'gone' }],
    ['ENOENT', { dst: 'far' }],
    ['EPERM', { src_iova: BASE + 0x10_0000n }],
    ['EEXIST', { src_iova: BASE + 0x10_0000n, dst_iova: BASE }],
  ] as const)('answers %s to %o', (errno, more) => {
    const s = play(
      start(),
      { do: 'iommufd_open', as: 'other' },
      { do: 'ioas_alloc', ctx: 'other', as: 'far' },
      { do: 'ioas_alloc', ctx: 'ctx', as: 'gone' },
      { do: 'destroy', obj: 'gone' },
      mapFile(),
      mapFile({ prot: 'r', iova: BASE + 0x10_0000n }),
    );
    expect(answer(s, copy(more))).toBe(errno);
  });
});

describe('unmap', () => {
  const two = play(start(), attach(), mapFile(), mapFile({ iova: BASE + 0x8000n }));

  test('takes whole areas and the gaps between them, and counts what was mapped', () => {
    expect(answer(two, unmap(BASE - 0x1000n, 0x1_0000n))).toEqual({ length: 0x8000n });
    expect(answer(two, unmap(0n, MAX))).toEqual({ length: 0x8000n });
    expect(answer(start(), unmap(0n, MAX))).toEqual({ length: 0n });
  });

  test('leaves its neighbours, and makes room for just as much', () => {
    const s = play(start(), mapFile(), mapFile({ iova: BASE + 0x4000n }), mapFile({ iova: BASE + 0x8000n }));
    const middle = unmap(BASE + 0x4000n, 0x4000n);
    expect(answer(s, middle)).toEqual({ length: 0x4000n });
    const again = mapFile({ iova: BASE + 0x4000n });
    expect(answer(s, again)).toBe('EEXIST');
    expect(answer(play(s, middle), again)).toEqual({ iova: BASE + 0x4000n });
  });

  test('of a part takes nothing, but has taken the areas before it', () => {
    expect(answer(two, unmap(BASE + 0x1000n, 0x3000n))).toBe('ENOENT');
    const part = unmap(BASE, 0x9000n);
    expect(answer(two, part)).toBe('ENOENT');
    expect(reaches(play(two, part), 'dev1')).toEqual([[BASE + 0x8000n, 'dev0:2+0x10000', 0x4000n, 'rw']]);
  });

  test('of a shot area frees its IOVA, which it owned until then', () => {
    const shot = play(two, memory(false), memory(true));
    expect(answer(shot, mapFile())).toBe('EEXIST');
    expect(answer(shot, unmap(BASE, 0x4000n))).toEqual({ length: 0x4000n });
    expect(reaches(play(shot, unmap(BASE, 0x4000n), mapFile()), 'dev1')).toHaveLength(1);
  });

  test.each([
    ['EBADF', 0n, 0n, 'never'],
    ['ENOENT', 0n, 0n, 'gone'],
    ['EOVERFLOW', MAX, 0n, 'a'],
    ['EOVERFLOW', 1n, MAX, 'a'],
    ['EINVAL', BASE, 0n, 'a'],
    ['EOVERFLOW', MAX - 1n, 3n, 'a'],
    ['ENOENT', 0n, 0x1000n, 'a'],
  ] as const)('answers %s to %i, %i bytes, of %s', (errno, iova, length, ioas) => {
    const s = play(two, { do: 'ioas_alloc', ctx: 'ctx', as: 'gone' }, { do: 'destroy', obj: 'gone' });
    expect(answer(s, unmap(iova, length, ioas))).toBe(errno);
  });
});
