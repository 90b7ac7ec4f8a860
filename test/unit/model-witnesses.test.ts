import { describe, expect, test } from 'vitest';
import { invariants } from '../../model/invariants.ts';
import { observe } from '../../model/observe.ts';
import { initial, type State, step } from '../../model/spec.ts';
import { stepOf, witnesses } from '../../model/witnesses.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import { device, play } from './model-rig.ts';

const machine: MachineConfig = {
  pageSize: 0x1000n,
  pageSizes: [0x800n],
  aperture: [0n, 0xffff_ffff_ffffn],
  reserved: [],
  devices: new Map([
    ['dev0', device(0)],
    ['dev1', device(1)],
  ]),
};
const IOVA = 0x100_0000n;
const map = (length: bigint, iova = IOVA): Command => {
  return { do: 'ioas_map_file', ioas: 'a', fd: 'b0', start: 0n, length, prot: 'rw', iova };
};
const memory = (enable: boolean): Command => ({ do: 'vfio_memory', dev: 'dev0', enable });
const attach: Command = { do: 'vfio_attach', dev: 'dev1', pt: 'a' };
const hwpt: Command = { do: 'hwpt_alloc', dev: 'dev1', ioas: 'a', as: 'h' };
const unmap = (length = 0x2000n): Command => ({ do: 'ioas_unmap', ioas: 'a', iova: IOVA, length });
const copy = (src_iova: bigint): Command => {
  return { do: 'ioas_copy', src: 'a', dst: 'a', src_iova, length: 0x1000n, prot: 'rw', dst_iova: 0x200_0000n };
};
const start = play(
  initial(machine),
  { do: 'iommufd_open', as: 'ctx' },
  { do: 'vfio_open', dev: 'dev0' },
  { do: 'vfio_open', dev: 'dev1' },
  { do: 'vfio_bind', dev: 'dev0', ctx: 'ctx' },
  { do: 'vfio_bind', dev: 'dev1', ctx: 'ctx' },
  { do: 'ioas_alloc', ctx: 'ctx', as: 'a' },
  { do: 'vfio_export', dev: 'dev0', region: 2, ranges: [[0x1_0000n, 0x4000n]], as: 'b0' },
  { do: 'mem_alloc', as: 'm0', length: 0x1000n },
);
const mapped = play(start, map(0x2000n));

/** The names of what happened in the last of these commands. */
const happened = (before: State, command: Command, choice?: bigint): string[] => {
  const outcome = step(before, command, choice);
  const after = ('state' in outcome && outcome.state) || before;
  const old = observe(before).areas.map(({ iova }) => iova);
  const seen = { ...observe(after), areas: observe(after).areas.filter(({ iova }) => !old.includes(iova)) };
  return witnesses.filter((witness) => witness.happened(stepOf(before, command, after, seen))).map(({ name }) => name);
};

test('every invariant has a witness, and every witness an invariant, or is about answers', () => {
  const names = invariants.map(({ name }) => name);
  expect(new Set(witnesses.map(({ of }) => of))).toEqual(new Set([...names, 'the same answers']));
});

test('no two witnesses have the same name', () => {
  const names = witnesses.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
});

test.each<[string[], State, Command]>([
  [[], start, memory(false)],
  [[], mapped, memory(false)],
  [['a revoke found live PTEs'], play(mapped, attach), memory(false)],
  [['a revoke found live PTEs'], play(mapped, attach), { do: 'vfio_close', dev: 'dev0' }],
  [['a revoke found live PTEs', 'a revoke shot an area out of two domains'], play(mapped, attach, hwpt), memory(false)],
  [
    ['a revoke found live PTEs', 'a revoke met an area that began inside a page of its buffer'],
    play(start, { ...map(0x1000n), start: 0x800n } as Command, attach),
    memory(false),
  ],
  [['a shot area stayed dead when its buffer was usable again'], play(mapped, attach, memory(false)), memory(true)],
  [['a shot area was unmapped, and no domain was asked for it'], play(mapped, attach, memory(false)), unmap()],
  [[], play(mapped, memory(false)), unmap()],
  [[], play(mapped, attach), unmap()],
  [['a buffer that begins inside its BAR was in a domain'], play(start, attach), map(0x2000n)],
  [[], start, map(0x2000n)],
  [['a copy began inside an area'], mapped, copy(IOVA + 0x1000n)],
  [[], mapped, copy(IOVA)],
  [[], mapped, copy(0n)],
  [
    ['a buffer that begins inside its BAR was in a domain', 'an area in a domain began or ended inside a page'],
    play(start, attach),
    map(0x800n),
  ],
  [
    [],
    play(mapped, { do: 'iommufd_close', ctx: 'ctx' }, { do: 'vfio_close', dev: 'dev0' }),
    { do: 'vfio_close', dev: 'dev1' },
  ],
])('%o happened', (names, before, command) => {
  expect(happened(before, command)).toEqual(names);
});

const LIVE = 'a revoke found live PTEs';

describe('of what the CPU maps', () => {
  const mmap: Command = { do: 'bar_mmap', dev: 'dev0', region: 2, offset: 0n, length: 0x1000n, as: 'v0' };
  const peek: Command = { do: 'peek', map: 'v0', offset: 0n };
  const munmap: Command = { do: 'munmap', map: 'v0' };
  const close: Command = { do: 'vfio_close', dev: 'dev0' };
  const MET = 'a revoke met a mapping of the CPU';
  const FAULT = 'a mapping of the CPU faulted after a revoke';

  test.each<[string[], State, Command]>([
    [[MET], play(start, mmap), memory(false)],
    [[], play(start, mmap, memory(false)), memory(false)],
    [[], play(start, mmap), memory(true)],
    [[], play(start, mmap), munmap],
    [[FAULT], play(start, mmap, memory(false)), peek],
    [[], play(start, mmap, memory(false), memory(true)), peek],
    [['a mapping of the CPU kept a closed device open'], play(start, mmap), close],
    [[], start, close],
    [[], play(start, close), close],
    [[LIVE, 'the end of a mapping shot what a device reached'], play(mapped, attach, mmap, close), munmap],
    [[], play(mapped, attach, mmap), munmap],
  ])('%o happened', (names, before, command) => {
    expect(happened(before, command)).toEqual(names);
  });
});

describe('of test buffers', () => {
  const buffer = play(start, { do: 'mock_dmabuf', length: 0x2000n, as: 'd' });
  const mapBuffer: Command = {
    do: 'ioas_map_file',
    ioas: 'a',
    fd: 'd',
    start: 0n,
    length: 0x2000n,
    prot: 'rw',
    iova: IOVA,
  };
  const DEAD = 'a shot area stayed dead when its buffer was usable again';
  const revoke = (revoked: boolean): Command => ({ do: 'mock_revoke', fd: 'd', revoked });

  test.each<[string[], State, Command]>([
    [[LIVE], play(buffer, mapBuffer, attach), revoke(true)],
    [[LIVE, DEAD, 'a restore shot what a device reached'], play(buffer, mapBuffer, attach), revoke(false)],
    [[], play(buffer, mapBuffer), revoke(false)],
    [[], play(buffer, mapBuffer, attach, revoke(true)), revoke(true)],
    [[DEAD], play(buffer, mapBuffer, attach, revoke(true)), revoke(false)],
  ])('%o happened', (names, before, command) => {
    expect(happened(before, command)).toEqual(names);
  });
});

test.each<[string[], bigint, State]>([
  [['an allowed set turned a placement away from a lower hole'], 0x30_0000n, start],
  [[], 0x1000n, start],
])('%o happened when the kernel chose %i', (names, choice, before) => {
  const allow: Command = { do: 'ioas_allow_iovas', ioas: 'a', ranges: [[choice, 0xff_ffffn]] };
  const { iova: _, ...anywhere } = map(0x1000n) as Extract<Command, { do: 'ioas_map_file' }>;
  expect(happened(play(before, allow), anywhere, choice)).toEqual(names);
  expect(happened(before, anywhere, choice)).toEqual([]);
  expect(happened(play(before, allow), { ...anywhere, length: 0x1000_0000n }, choice)).toEqual([]);
});

describe('what processes map, and low power', () => {
  const enter: Command = { do: 'vfio_low_power_entry', dev: 'dev0', wakeup: true };
  const wake: Command = { do: 'vfio_wake', dev: 'dev0' };
  const again: Command = { do: 'vfio_export', dev: 'dev0', region: 2, ranges: [[0n, 0x1000n]], as: 'b1' };
  const v4: State = { ...start, machine: { ...start.machine, mapsBuffers: true } };
  const mmap: Command = { do: 'fd_mmap', fd: 'b0', offset: 0n, length: 0x1000n, as: 'v' };
  const forGood: Command = { do: 'vfio_dmabuf_revoke', dev: 'dev0', fd: 'b0' };
  const peek: Command = { do: 'peek', map: 'v', offset: 0n };
  const fork: Command = { do: 'fork', as: 'p' };
  const bar: Command = { do: 'bar_mmap', dev: 'dev0', region: 2, offset: 0n, length: 0x1000n, as: 'v' };
  const held = play(mapped, attach, bar, fork, { do: 'munmap', map: 'v' }, { do: 'vfio_close', dev: 'dev0' });
  const MET = 'a revoke met a mapping of the CPU';

  test.each<[string[], State, Command]>([
    [['a device woke up, and what it had exported stayed lost'], play(start, enter), wake],
    [[], start, wake],
    [[], play(start, enter, wake), wake],
    [['a buffer was born usable while others of its device were lost'], play(start, enter, wake), again],
    [[], start, again],
    [[MET, 'a revoke for good met a mapping of the CPU'], play(v4, mmap), forGood],
    [[], v4, forGood],
    [[], play(v4, mmap, memory(false)), forGood],
    [[MET], play(v4, mmap), memory(false)],
    [['a mapping of the CPU faulted after a revoke'], play(v4, mmap, memory(false)), peek],
    [[], play(v4, mmap), peek],
    [[], v4, peek],
    [['a child read through what it has of the first process'], play(v4, mmap, fork), { ...peek, process: 'p' }],
    [[], play(v4, mmap, fork, memory(false), memory(true)), peek],
    [['a mapping of the CPU faulted after a revoke'], play(v4, mmap, fork, memory(false)), { ...peek, process: 'p' }],
    [[LIVE, 'the end of a child shot what a device reached'], held, { do: 'exit', process: 'p' }],
    [[], play(start, fork), { do: 'exit', process: 'p' }],
  ])('%o happened', (names, before, command) => {
    expect(happened(before, command)).toEqual(names);
  });
});

test('a buffer was in a domain, page by page', () => {
  const off: Command = { do: 'ioas_option_huge_pages', ioas: 'a', enable: false };
  const IN = 'a buffer that begins inside its BAR was in a domain';
  expect(happened(play(start, off, attach), map(0x2000n))).toEqual([IN, 'a buffer was in a domain, page by page']);
  expect(happened(play(start, off, attach), map(0x1000n))).toEqual([IN]);
});

test('the model itself keeps the invariants, and shows what its domains translate', () => {
  const user: Command = {
    do: 'ioas_map',
    ioas: 'a',
    mem: 'm0',
    offset: 0n,
    length: 0x1000n,
    prot: 'r',
    iova: 0x300_0000n,
  };
  const s = play(mapped, attach, hwpt, user, copy(IOVA), memory(false), memory(true), map(0x1000n, 0x400_0000n));
  const seen = observe(s);
  expect(invariants.flatMap((invariant) => invariant.breaches(seen))).toEqual([]);
  expect(seen.revoked).toEqual([]);
  expect(seen.areas.map(({ shot }) => shot)).toEqual([true, true, false, false]);
  expect(seen.ptes.map(({ domain, iova, memory: of, mmio, cache }) => [domain, iova, of, mmio, cache])).toEqual([
    ['a', 0x300_0000n, 'm0', false, true],
    ['h', 0x300_0000n, 'm0', false, true],
    ['a', 0x400_0000n, 'dev0:2', true, false],
    ['h', 0x400_0000n, 'dev0:2', true, false],
  ]);
  expect(observe(play(s, memory(false))).revoked).toEqual([{ memory: 'dev0:2', offset: 0n, length: 0x40_0000n }]);
});
