import { expect, test } from 'vitest';
import { invariants } from '../../model/invariants.ts';
import { observe } from '../../model/observe.ts';
import { initial, type State } from '../../model/spec.ts';
import { witnesses } from '../../model/witnesses.ts';
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
const happened = (before: State, command: Command): string[] => {
  const after = play(before, command);
  const old = observe(before).areas.map(({ iova }) => iova);
  const seen = { ...observe(after), areas: observe(after).areas.filter(({ iova }) => !old.includes(iova)) };
  return witnesses.filter((witness) => witness.happened(before, command, after, seen)).map(({ name }) => name);
};

test('every invariant has a witness, and every witness an invariant', () => {
  expect(new Set(witnesses.map(({ of }) => of))).toEqual(new Set(invariants.map(({ name }) => name)));
});

test.each<[string[], State, Command]>([
  [[], start, memory(false)],
  [[], mapped, memory(false)],
  [['a revoke found live PTEs'], play(mapped, attach), memory(false)],
  [['a revoke found live PTEs'], play(mapped, attach), { do: 'vfio_close', dev: 'dev0' }],
  [['a revoke found live PTEs', 'a revoke shot an area out of two domains'], play(mapped, attach, hwpt), memory(false)],
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
