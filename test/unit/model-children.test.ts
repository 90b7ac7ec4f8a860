/** Holes in mappings, and children that have them, too. */
import { describe, expect, test } from 'vitest';
import { observe, reaches } from '../../model/observe.ts';
import type { Command, Handle } from '../../trace/command.ts';
import { answer, play } from './model-rig.ts';
import { attach, BASE, mapFile, memory, start } from './model-scene.ts';

const MAX = 2n ** 64n - 1n;
const mmap = (as: Handle = 'v0', offset = 0x1000n): Command => {
  return { do: 'bar_mmap', dev: 'dev0', region: 2, offset, length: 0x4000n, as };
};
const peek = (offset: bigint, process?: Handle, map: Handle = 'v0'): Command => {
  return { do: 'peek', map, offset, ...(process !== undefined && { process }) };
};
const munmap = (more: Partial<Extract<Command, { do: 'munmap' }>> = {}): Command => ({
  do: 'munmap',
  map: 'v0',
  ...more,
});
const fork: Command = { do: 'fork', as: 'p' };
const exit: Command = { do: 'exit', process: 'p' };
const close: Command = { do: 'vfio_close', dev: 'dev0' };
const at = (offset: string): object => ({ value: `dev0:2+${offset}` });
const hole = munmap({ offset: 0x1000n, length: 0x1000n });

describe('a munmap of some pages', () => {
  const s = play(start(), mmap(), hole);

  test('leaves a hole, and on both sides what was there', () => {
    expect([0xffcn, 0x1000n, 0x1ffcn, 0x2000n].map((offset) => answer(s, peek(offset)))).toEqual([
      at('0x1ffc'),
      'EFAULT',
      'EFAULT',
      at('0x3000'),
    ]);
  });

  test('makes an end: of 4 bytes across it the first ones are touched first', () => {
    expect([answer(s, peek(0xffcn)), answer(s, peek(0xffdn))]).toEqual([at('0x1ffc'), 'EFAULT']);
    const off = play(s, memory(false));
    expect([answer(off, peek(0xffdn)), answer(off, peek(0x1000n))]).toEqual([{ signal: 'SIGBUS' }, 'EFAULT']);
  });

  test('shows in what the CPU reaches', () => {
    expect(observe(s).cpu).toEqual([
      { map: 'v0', at: 0n, memory: 'dev0:2', offset: 0x1000n, length: 0x1000n },
      { map: 'v0', at: 0x2000n, memory: 'dev0:2', offset: 0x3000n, length: 0x2000n },
    ]);
  });

  test.each<[expected: unknown, more: Partial<Extract<Command, { do: 'munmap' }>>]>([
    ['EBADF', { map: 'v1', offset: 1n }],
    ['EBADF', { process: 'p', offset: 1n }],
    ['EINVAL', { offset: 1n, length: MAX }],
    ['EINVAL', { length: 0n }],
    ['EINVAL', { offset: 0x4000n }],
    ['EINVAL', { offset: 0x6000n }],
    ['EFAULT', { offset: 0x4000n, length: 1n }],
    ['EFAULT', { offset: 0x3000n, length: 0x1001n }],
    ['EFAULT', { offset: 0x3000n, length: MAX }],
    [{}, { offset: 0x3000n, length: 1n }],
    [{}, { offset: 0x1000n, length: 0x1000n }],
    [{}, { length: 0x4000n }],
  ])('answers %o to %o', (expected, more) => {
    expect(answer(s, munmap(more))).toEqual(expected);
  });

  test('of the last of them ends the name, and lets a closed device go', () => {
    const held = play(s, mapFile(), attach(), close, munmap({ offset: 0x2000n }));
    expect([answer(held, peek(0n)), reaches(held, 'dev1')]).toEqual([
      at('0x1000'),
      [[BASE, 'dev0:2+0x10000', 0x4000n, 'rw']],
    ]);
    const gone = play(held, munmap({ length: 1n }));
    expect([answer(gone, peek(0n)), reaches(gone, 'dev1'), answer(gone, munmap())]).toEqual(['EBADF', [], 'EBADF']);
  });
});

describe('a child', () => {
  const s = play(start(), mmap(), hole, fork);

  test('has what the first process had at the fork, holes and all, and nothing from later', () => {
    expect([0n, 0x1000n].map((offset) => answer(s, peek(offset, 'p')))).toEqual([at('0x1000'), 'EFAULT']);
    expect(answer(play(s, mmap('v1')), peek(0n, 'p', 'v1'))).toBe('EBADF');
    expect(answer(play(s, memory(false)), peek(0n, 'p'))).toEqual({ signal: 'SIGBUS' });
    expect(observe(s).cpu.map(({ map }) => map)).toEqual(['v0', 'v0', 'v0 of p', 'v0 of p']);
  });

  test('keeps it when the first process lets go, and the other way round', () => {
    const alone = play(s, munmap());
    expect([answer(alone, peek(0n)), answer(alone, peek(0n, 'p'))]).toEqual(['EBADF', at('0x1000')]);
    const other = play(s, munmap({ process: 'p' }));
    expect([answer(other, peek(0n)), answer(other, peek(0n, 'p'))]).toEqual([at('0x1000'), 'EBADF']);
  });

  test('has a mapping by the name of the fork, whatever that stands for since', () => {
    const renamed = play(s, munmap(), mmap('v0', 0x8000n));
    expect([answer(renamed, peek(0n)), answer(renamed, peek(0n, 'p'))]).toEqual([at('0x8000'), at('0x1000')]);
  });

  test('is not there before the fork or after its end, and ends once', () => {
    const over = play(s, exit);
    for (const command of [peek(0n, 'p'), munmap({ process: 'p' }), exit]) {
      expect([answer(start(), command), answer(over, command)]).toEqual(['EBADF', 'EBADF']);
    }
    expect([answer(s, exit), answer(over, peek(0n)), answer(over, fork)]).toEqual([{}, at('0x1000'), {}]);
  });

  test('keeps a closed device open, and what it has exported usable, until it ends', () => {
    const held = play(s, mapFile(), attach(), munmap(), close);
    expect(reaches(held, 'dev1')).toHaveLength(1);
    expect([answer(held, peek(0n, 'p')), reaches(play(held, exit), 'dev1')]).toEqual([at('0x1000'), []]);
    expect(answer(play(held, exit), mapFile({ iova: 3n * BASE }))).toBe('ENODEV');
  });

  test('of two does not end the other', () => {
    const two = play(s, { do: 'fork', as: 'q' }, exit);
    expect([answer(two, peek(0n, 'p')), answer(two, peek(0n, 'q'))]).toEqual(['EBADF', at('0x1000')]);
  });
});
