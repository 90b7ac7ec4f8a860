import { describe, expect, test } from 'vitest';
import type { State } from '../../model/spec.ts';
import type { Command, Handle, Interval } from '../../trace/command.ts';
import { answer, play } from './model-rig.ts';
import { attach, BASE, copy, machine, mapFile, mapUser, small, start } from './model-scene.ts';

const MAX = 2n ** 64n - 1n;

const allow = (ranges: readonly Interval[], ioas: Handle = 'a'): Command => ({ do: 'ioas_allow_iovas', ioas, ranges });
const huge = (enable: boolean, ioas: Handle = 'a'): Command => ({ do: 'ioas_option_huge_pages', ioas, enable });
const anywhere = (length = 0x1000n, from = 0n): Command => ({
  do: 'ioas_map_file',
  ioas: 'a',
  fd: 'f0',
  start: from,
  length,
  prot: 'rw',
});
const hwpt: Command = { do: 'hwpt_alloc', dev: 'dev1', ioas: 'a', as: 'h' };
const detach: Command = { do: 'vfio_detach', dev: 'dev1' };
const unmapAll: Command = { do: 'ioas_unmap', ioas: 'a', iova: 0n, length: MAX };
const ranges: Command = { do: 'ioas_iova_ranges', ioas: 'a' };
const destroy: Command = { do: 'destroy', obj: 'a' };
const close: Command = { do: 'iommufd_close', ctx: 'ctx' };
const alignmentOf = (s: State): unknown => (answer(s, ranges) as { alignment: bigint }).alignment;

describe('allowed IOVAs', () => {
  const two: readonly Interval[] = [
    [0x1_0000n, 0x1_ffffn],
    [0x4_0000n, 0x4_ffffn],
  ];

  test.each<[string, unknown, State, Command]>([
    ['a closed iommufd', 'EBADF', play(start(), close), allow([[5n, 5n]])],
    ['a name of nothing', 'EBADF', start(), allow([[5n, 5n]], 'z')],
    ['a destroyed IOAS', 'ENOENT', play(start(), destroy), allow([[5n, 5n]])],
    ['a domain in place of the IOAS', 'ENOENT', play(start(), hwpt), allow([], 'h')],
    ['one byte', 'EINVAL', start(), allow([[5n, 5n]])],
    ['an end before the beginning', 'EINVAL', start(), allow([[6n, 5n]])],
    [
      'one byte, after a range that is reserved',
      'EINVAL',
      play(start(), attach()),
      allow([
        [0n, MAX],
        [5n, 5n],
      ]),
    ],
    [
      'two that share a byte',
      'EINVAL',
      start(),
      allow([
        [0n, 5n],
        [5n, 9n],
      ]),
    ],
    [
      'two of which one is within the other',
      'EINVAL',
      start(),
      allow([
        [0n, 9n],
        [4n, 5n],
      ]),
    ],
    [
      'neighbours',
      {},
      start(),
      allow([
        [5n, 9n],
        [0n, 4n],
      ]),
    ],
    ['the last byte that is not reserved', {}, play(start(), attach()), allow([[0n, 0xfedf_ffffn]])],
    ['the first byte that a device reserves', 'EADDRINUSE', play(start(), attach()), allow([[0n, 0xfee0_0000n]])],
    [
      'what lies outside the aperture',
      'EADDRINUSE',
      play(start(), hwpt),
      allow([
        [0n, 1n],
        [5n, 1n << 48n],
      ]),
    ],
    ['what a device reserves, while there is none', {}, play(start(), hwpt), allow([[0xfee0_0000n, 0xfeef_ffffn]])],
    ['what is mapped', {}, play(start(), mapFile()), allow([[BASE, BASE + 1n]])],
    ['nothing', {}, start(), allow([])],
  ])('%s: %o', (_, expected, s, command) => {
    expect(answer(s, command)).toEqual(expected);
  });

  test('are where the kernel may choose; a fixed area may be elsewhere', () => {
    const s = play(start(), allow(two));
    expect(answer(s, anywhere(), 0x1_f000n)).toEqual({ iova: 0x1_f000n });
    expect(answer(s, anywhere(), 0x4_0000n)).toEqual({ iova: 0x4_0000n });
    expect(answer(s, anywhere(), 0xf000n)).toBe('IOVA 0xf000 was chosen, and is not allowed');
    expect(answer(s, anywhere(0x2000n), 0x1_f000n)).toBe('IOVA 0x1f000 was chosen, and is not allowed');
    expect(answer(s, mapFile())).toEqual({ iova: BASE });
    expect(answer(s, ranges)).toEqual(answer(start(), ranges));
  });

  test('leave no room for what is longer than each of them, unless they are neighbours', () => {
    const s = play(start(), allow(two));
    expect(answer(s, anywhere(0x1_0000n))).toBe('no IOVA was chosen, though there is room');
    expect(answer(s, anywhere(0x1_0001n))).toBe('ENOSPC');
    const joined = play(
      start(),
      allow([
        [0x2_0000n, 0x2_ffffn],
        [0x1_0000n, 0x1_ffffn],
      ]),
    );
    expect(answer(joined, anywhere(0x2_0000n, 0x1000n), 0x1_0000n)).toEqual({ iova: 0x1_0000n });
    expect(answer(play(joined, mapFile({ iova: 0x1_4000n })), anywhere(0x2_0000n))).toBe('ENOSPC');
  });

  test('hold for copies and user memory, too', () => {
    const s = play(start(), mapFile(), allow(two));
    const { dst_iova: _, ...copyAnywhere } = copy() as Extract<Command, { do: 'ioas_copy' }>;
    const { iova: __, ...userAnywhere } = mapUser() as Extract<Command, { do: 'ioas_map' }>;
    expect(answer(s, copyAnywhere, 0x1_0000n)).toEqual({ iova: 0x1_0000n });
    expect(answer(s, copyAnywhere, 0x2_0000n)).toContain('is not allowed');
    expect(answer(s, userAnywhere, 0x2_0000n)).toContain('is not allowed');
  });

  test('are replaced as a whole, and stay as they are when that fails', () => {
    const s = play(
      start(),
      allow(two),
      allow([[0x9_0000n, 0x9_ffffn]]),
      allow([
        [0x5_0000n, 0x5_ffffn],
        [5n, 5n],
      ]),
    );
    expect(answer(s, anywhere(), 0x9_0000n)).toEqual({ iova: 0x9_0000n });
    expect(answer(s, anywhere(), 0x1_0000n)).toContain('is not allowed');
    expect(answer(s, anywhere(), 0x5_0000n)).toContain('is not allowed');
    expect(answer(play(s, allow([])), anywhere(), 0x5_0000n)).toEqual({ iova: 0x5_0000n });
  });

  test('refuse a domain whose aperture ends before they do, and a device that reserves them', () => {
    const beyond = play(start(), allow([[5n, 1n << 48n]]));
    expect([answer(beyond, hwpt), answer(beyond, attach())]).toEqual(['EADDRINUSE', 'EADDRINUSE']);
    const msi = play(start(), allow([[0xfeef_ffffn, 0xff00_0000n]]));
    expect([answer(msi, hwpt), answer(msi, attach())]).toEqual([{}, 'EADDRINUSE']);
    expect(answer(play(msi, hwpt), attach('h'))).toBe('EADDRINUSE');
    expect(answer(play(msi, allow([])), attach())).toEqual({});
  });
});

describe('the option of huge pages', () => {
  const ragged = mapFile({ iova: BASE + 1n, length: 1n });

  test.each<[string, unknown, State, Command]>([
    ['off in a closed iommufd', 'EBADF', play(start(), close), huge(false)],
    ['off in nothing', 'EBADF', start(), huge(false, 'z')],
    ['off in a destroyed IOAS', 'ENOENT', play(start(), destroy), huge(false)],
    ['on in a destroyed IOAS', 'ENOENT', play(start(), destroy), huge(true)],
    ['off with a domain and an area', 'EINVAL', play(start(small), attach(), mapFile({ length: 0x800n })), huge(false)],
    ['off with a domain alone', {}, play(start(), attach()), huge(false)],
    ['off with an area alone', {}, play(start(), mapFile()), huge(false)],
    ['off with a ragged IOVA', 'EADDRINUSE', play(start(), mapFile({ iova: BASE + 0x800n })), huge(false)],
    ['off with a ragged length', 'EADDRINUSE', play(start(), mapFile({ length: 0x800n })), huge(false)],
    ['off with a ragged offset', 'EADDRINUSE', play(start(), mapFile({ start: 0x800n, length: 0x1000n })), huge(false)],
    ['off twice, the second time with an area', {}, play(start(), attach(), huge(false), mapFile()), huge(false)],
    ['on with a domain and an area', {}, play(start(), attach(), mapFile()), huge(true)],
    ['on with a ragged area', {}, play(start(), ragged), huge(true)],
  ])('%s: %o', (_, expected, s, command) => {
    expect(answer(s, command)).toEqual(expected);
  });

  test('decides the alignment, together with the domains', () => {
    const off = play(start(small), huge(false));
    expect(alignmentOf(start(small))).toBe(1n);
    expect(alignmentOf(off)).toBe(0x1000n);
    expect(alignmentOf(play(off, attach()))).toBe(0x1000n);
    expect(alignmentOf(play(off, attach(), huge(true)))).toBe(0x800n);
    expect(alignmentOf(play(off, attach(), huge(true), detach))).toBe(1n);
    expect(alignmentOf(play(off, huge(true)))).toBe(1n);
    expect(answer(off, mapFile({ length: 0x800n }))).toBe('EINVAL');
    expect(answer(off, mapFile({ iova: BASE + 0x800n }))).toBe('EINVAL');
    expect(answer(off, mapFile({ start: 0x800n, length: 0x1000n }))).toBe('EINVAL');
    expect(answer(off, mapFile())).toEqual({ iova: BASE });
    expect(answer(off, anywhere(0x1000n, 0x800n))).toBe('EINVAL');
  });

  test('is as it was after a refusal', () => {
    const s = play(start(), ragged, huge(false), unmapAll);
    expect(alignmentOf(s)).toBe(1n);
    expect(alignmentOf(play(s, huge(false)))).toBe(0x1000n);
  });

  test('off, no piece of a copy may be less than a page, even where the domain has smaller ones', () => {
    const halves = play(
      start(small),
      mapFile({ ioas: 'b', length: 0x800n }),
      mapFile({ ioas: 'b', start: 0x1000n, iova: BASE + 0x800n, length: 0x800n }),
      attach(),
    );
    expect(answer(halves, copy({ src: 'b' }))).toEqual({ iova: 0x200_0000n });
    expect(answer(play(halves, huge(false)), copy({ src: 'b' }))).toBe('EINVAL');
    const blind = play(halves, detach, huge(false), copy({ src: 'b' }));
    expect(answer(blind, attach())).toBe('EINVAL');
    expect(answer(play(blind, huge(true)), attach())).toEqual({});
  });
});

test('an automatic domain comes with the first device, and goes with the last', () => {
  const s = play(start(), attach(), attach('a', 'dev0'));
  expect(s.ioases[0]?.domains.map(({ name, automatic }) => [name, automatic])).toEqual([['a', true]]);
  const moved = play(s, attach('b', 'dev0'));
  expect(moved.ioases.map(({ domains }) => domains.map(({ name }) => name))).toEqual([['a'], ['b']]);
  const left = play(moved, detach);
  expect(left.ioases.map(({ domains }) => domains.map(({ name }) => name))).toEqual([[], ['b']]);
  expect([answer(moved, destroy), answer(left, destroy)]).toEqual(['EBUSY', {}]);
  expect(machine.reserved).toHaveLength(1);
  expect(answer(left, ranges)).toEqual({ ranges: [[0n, MAX]], alignment: 1n });
});
