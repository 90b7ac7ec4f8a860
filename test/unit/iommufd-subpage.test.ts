/**
 * Offsets within pages, on an IOMMU with half pages: what is mapped is what was asked for, to the byte.
 *
 * Source: iommufd 3.3, I-30 to I-33
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Area } from '../../impl/iommufd/area.ts';
import { fromBigint, hex, toBigint } from '../../impl/kernel/units.ts';
import { A, at, attached, MOCK, OK, Rig, removed, U64_MAX } from './iommufd-rig.ts';

/** Only part of the BAR is exported, so that no offset is also an offset in the BAR. */
const BUFFER_AT = 0x20000n;

function world(): Rig {
  const rig = attached([{ do: 'ioas_alloc', ctx: 'ctx', as: 'other' }], '7.3', MOCK);
  rig.must({ do: 'vfio_attach', dev: 'dev1', pt: 'other' });
  rig.export('d', [[BUFFER_AT, 0x8000n]]);
  rig.calls();
  return rig;
}

test.each<[example: string, start: bigint, length: bigint, iova: bigint, calls: string[], leaves: string[]]>([
  [
    'A: whole pages',
    0x1000n,
    0x2000n,
    A,
    ['map ioas 0x1000000 -> dev0:2+0x21000 0x2000 RW+MMIO'],
    ['0x1000000 0x800', '0x1000800 0x800', '0x1001000 0x800', '0x1001800 0x800'],
  ],
  [
    'B: from and to the middle of pages',
    0x1800n,
    0x1000n,
    A + 0x800n,
    ['map ioas 0x1000800 -> dev0:2+0x21800 0x1000 RW+MMIO'],
    ['0x1000800 0x800', '0x1001000 0x800'],
  ],
  [
    'D: an IOVA that is not congruent',
    0x800n,
    0x800n,
    0x300_0000n,
    ['map ioas 0x3000000 -> dev0:2+0x20800 0x800 RW+MMIO'],
    ['0x3000000 0x800'],
  ],
])('MAP_FILE maps example %s', (_, start, length, iova, calls, leaves) => {
  const rig = world();
  expect(rig.mapFile({ fd: 'd', start, length, iova })).toEqual(at(iova));
  expect(rig.calls()).toEqual(calls);
  const domain = rig.domain('dev0');
  const found = domain.leaves(domain.iommu.apertureFirst, domain.iommu.apertureLast);
  expect(found.map((leaf) => `${hex(leaf.iova)} ${hex(leaf.length)}`)).toEqual(leaves);
});

test('COPY maps example C: the second half of B begins a page', () => {
  const rig = world();
  rig.mapFile({ fd: 'd', start: 0x1800n, length: 0x1000n, iova: A + 0x800n });
  rig.calls();
  expect(rig.copy(A + 0x1000n, 0x800n, { dst_iova: 0x200_0000n })).toEqual(at(0x200_0000n));
  const copy = rig.ioas().iopt.areas.all()[1] as Area;
  expect([copy.index, copy.lastIndex, copy.pageOffset]).toEqual([1, 1, 0]);
  expect(rig.calls()).toEqual(['map ioas 0x2000000 -> dev0:2+0x22000 0x800 RW+MMIO']);
});

/** A multiple of half a page, up to `max` halves. */
const halves = (min: number, max: number): fc.Arbitrary<bigint> =>
  fc.integer({ min, max }).map((times) => BigInt(times) * 0x800n);

/** What a device reads at an IOVA, as an offset in the buffer; undefined for a fault. */
function read(rig: Rig, dev: string, iova: bigint): bigint | undefined {
  const answer = rig.do({ do: 'dma_read', dev, iova });
  if ('err' in answer || answer.ok.target === undefined) return undefined;
  return BigInt(answer.ok.target.split('+')[1] as string) - BUFFER_AT;
}

test('every byte of a mapping and of a copy of a part of it is that of the buffer, and no byte around it', () => {
  fc.assert(
    fc.property(
      fc.record({ start: halves(0, 8), length: halves(1, 8), gap: halves(0, 3) }),
      fc.record({ from: halves(0, 7), length: halves(1, 8), gap: halves(0, 3) }),
      (map, slice) => {
        const rig = world();
        const iova = A + map.gap;
        expect(rig.mapFile({ fd: 'd', start: map.start, length: map.length, iova })).toEqual(at(iova));
        checkBytes(rig, 'dev0', iova, map.length, map.start);

        fc.pre(slice.from + slice.length <= map.length);
        const dst = 0x200_0000n + slice.gap;
        const copy = { dst: 'other', dst_iova: dst };
        expect(rig.copy(iova + slice.from, slice.length, copy)).toEqual(at(dst));
        checkBytes(rig, 'dev1', dst, slice.length, map.start + slice.from);
        rig.memory(false);
        expect([rig.reach('dev0'), rig.reach('dev1')]).toEqual([[], []]);
      },
    ),
    { numRuns: 60 },
  );
});

function checkBytes(rig: Rig, dev: string, iova: bigint, length: bigint, start: bigint): void {
  const probes = [-1n, 0n, 1n, 0x7ffn, 0x800n, 0xfffn, 0x1000n, length - 1n, length].filter((x) => x <= length);
  for (const x of probes) {
    const expected = x < 0n || x >= length ? undefined : start + x;
    expect(read(rig, dev, iova + x), `byte ${x}`).toBe(expected);
  }
}

test('an area says of each of its pages where it begins and ends in IOVA', () => {
  const rig = world();
  rig.mapFile({ fd: 'd', start: 0x1800n, length: 0x2800n, iova: A + 0x800n });
  const [area] = rig.ioas().iopt.areas.all();
  const pages = [0, 1, 2].map((i) =>
    [area?.iovaOfIndex(i), area?.iovaLastOfIndex(i)].map((iova) => iova && toBigint(iova)),
  );
  expect(pages).toEqual([
    [A + 0x800n, A + 0xfffn],
    [A + 0x1000n, A + 0x1fffn],
    [A + 0x2000n, A + 0x2fffn],
  ]);
  expect(area?.startByte(fromBigint(A + 0x2345n))).toEqual(fromBigint(0x800n + 0x1b45n));
});

test.each<[what: string, start: bigint, length: bigint, iova: bigint]>([
  ['the IOVA', 0n, 0x1000n, A + 0x400n],
  ['the length', 0n, 0xc00n, A],
  ['the offset', 0x400n, 0x800n, A],
])(
  'without a domain every byte may be mapped; a domain is EADDRINUSE, when %s is finer than its pages',
  (_, start, length, iova) => {
    const rig = new Rig(MOCK);
    expect(rig.mapFile({ start, length, iova })).toEqual(at(iova));
    expect(rig.attach()).toEqual({ err: 'EADDRINUSE' });
    expect(rig.hwpt('hwpt')).toEqual({ err: 'EADDRINUSE' });
    expect(rig.unmap(0n, U64_MAX)).toEqual(removed(length));
    expect(rig.attach()).toEqual(OK);
  },
);

test('the alignment follows the domains: that of the finest page of each, and 1 without any', () => {
  const rig = new Rig(MOCK);
  const alignment = (): unknown => {
    const answer = rig.ranges();
    return 'ok' in answer && answer.ok.alignment;
  };
  expect(alignment()).toBe(1n);
  rig.hwpt('hwpt');
  expect(alignment()).toBe(0x800n);
  rig.do({ do: 'destroy', obj: 'hwpt' });
  expect(alignment()).toBe(1n);
});

test('a domain whose smallest page is larger than ours is EINVAL', () => {
  const rig = new Rig({ ...MOCK, pageSizes: [0x2000n] });
  expect(rig.attach()).toEqual({ err: 'EINVAL' });
  rig.expectAtRest();
});
