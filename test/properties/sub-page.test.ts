/**
 * Every start and every length at 2 KiB of a buffer of three pages, at an IOVA inside and at the start of a page: as a
 * map, as a copy of every part of it, and in a second domain. What is reached is worked out here, byte for byte.
 */
import { expect, test } from 'vitest';
import { MACHINES } from '../../properties/machines.ts';
import { reachOf, wholeDomain } from '../../properties/observe.ts';
import { perform } from '../../properties/perform.ts';
import { finish } from '../../properties/walk.ts';
import { newWorld, type World } from '../../properties/world.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';

const CONFIG = MACHINES.get('the test lane') as MachineConfig;
const SMALL = 0x800n;
const PAGES = 3;
const HALVES = 2 * PAGES;
const A = 0x100_0000n;
const B = 0x200_0000n;

const SETUP: readonly Command[] = [
  { do: 'iommufd_open', as: 'ctx' },
  { do: 'ioas_alloc', ctx: 'ctx', as: 'a' },
  { do: 'mock_domain', ioas: 'a', as: 'x', dev: 'md0' },
  { do: 'mock_dmabuf', length: BigInt(PAGES) * 0x1000n, as: 'd' },
];

/** Both worlds agree on it, and on all that is compared after a step. */
function must(world: World, command: Command): void {
  expect(perform(world, command).result, command.do).toHaveProperty('ok');
}

/** What a device reaches: where each stretch of the buffer must be. */
const rows = (...stretches: readonly (readonly [iova: bigint, start: bigint, length: bigint])[]): unknown[] =>
  stretches.map(([iova, start, length]) => [iova, `d+0x${start.toString(16)}`, length, 'rw']);

const halves = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** Every part [start, start + length) of a whole of `all` halves of pages. */
const parts = (all: number): [start: bigint, length: bigint][] =>
  halves(0, all).flatMap((start) =>
    halves(1, all - start + 1).map((length): [bigint, bigint] => [BigInt(start) * SMALL, BigInt(length) * SMALL]),
  );

const copyOf = (src_iova: bigint, length: bigint, dst_iova: bigint): Command => ({
  do: 'ioas_copy',
  dst: 'a',
  src: 'a',
  src_iova,
  length,
  prot: 'rw',
  dst_iova,
});

test.each([
  ['7.2', 'at the start of a page', 'at the start of a page', 0n, 0n],
  ['7.2', 'inside a page', 'at the start of a page', SMALL, 0n],
  ['7.3', 'at the start of a page', 'inside a page', 0n, SMALL],
  ['7.3', 'inside a page', 'inside a page', SMALL, SMALL],
])(
  'on %s, maps %s and copies %s reach the very bytes, in every slice and in both domains',
  (kernel, _map, _copy, in1, in2) => {
    let copies = 0;
    for (const [start, length] of parts(HALVES)) {
      const world = newWorld(CONFIG, kernel);
      for (const command of SETUP) must(world, command);
      const iova = A + in1;
      must(world, { do: 'ioas_map_file', ioas: 'a', fd: 'd', start, length, prot: 'rw', iova });
      expect(reachOf(world.machine, 'md0')).toEqual(rows([iova, start, length]));
      for (const [from, bytes] of parts(Number(length / SMALL))) {
        must(world, copyOf(iova + from, bytes, B + in2));
        expect(reachOf(world.machine, 'md0')).toEqual(rows([iova, start, length], [B + in2, start + from, bytes]));
        must(world, { do: 'ioas_unmap', ioas: 'a', iova: B + in2, length: bytes });
        copies++;
      }
      must(world, copyOf(iova + length - SMALL, SMALL, B + in2));
      must(world, { do: 'hwpt_alloc', dev: 'md0', ioas: 'a', as: 'h' });
      for (const domain of world.machine.iommu.domains) {
        const found = wholeDomain(world.machine, domain).map(({ iova, offset, length }) => [iova, offset, length]);
        expect(found, domain.name).toEqual([
          [iova, start, length],
          [B + in2, start + length - SMALL, SMALL],
        ]);
      }
      must(world, { do: 'mock_revoke', fd: 'd', revoked: true });
      for (const domain of world.machine.iommu.domains) expect(wholeDomain(world.machine, domain)).toEqual([]);
      finish(world);
    }
    // Each of 21 slices, and of each as many parts as it has.
    expect([parts(HALVES).length, copies]).toEqual([21, 126]);
  },
);
