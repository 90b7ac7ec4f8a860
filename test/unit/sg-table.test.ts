/**
 * Lists of DMA addresses: the worked examples E1 to E13, how many entries there are, and what an importer is told.
 *
 * Source: vfio-dmabuf 5.3, 5.5
 */
import { describe, expect, test, vi } from 'vitest';
import { assertFull, calcSgNents, fillSgEntry, maxSegment, type SgEntry } from '../../impl/dmabuf/sg-entries.ts';
import type { SgTable } from '../../impl/dmabuf/sg-table.ts';
import { DmaIommu } from '../../impl/iommu/dma-iommu.ts';
import { Domain, Iommu } from '../../impl/iommu/domain.ts';
import { IOMMU_MMIO, IOMMU_READ, IOMMU_WRITE } from '../../impl/iommu/prot.ts';
import { isErrno } from '../../impl/kernel/errno.ts';
import { add, bytes, toBigint } from '../../impl/kernel/units.ts';
import { SgRig, type Way } from './sg-rig.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

const GIB = 0x40000000;
/** Where the ranges are: the second far behind the first, unless they are adjacent. */
const [A, B] = [0x40_0000_0000, 0x80_0000_0000];
/** Bus addresses are physical ones less this. */
const BUS_DISTANCE = 0x3f_2000_0000;

const ANY: readonly Way[] = ['bus', 'window', 'ranges', 'ranges by IOMMU'];
const APART: readonly Way[] = ['bus', 'ranges', 'ranges by IOMMU'];
const WINDOW: readonly Way[] = ['window'];

/** As in the text: `A` and `B` are the DMA addresses of the first and the second range, `I` is that of the window. */
type Row = readonly [name: string, lengths: readonly number[], ways: readonly Way[], entries: string];

const SMALL: readonly Row[] = [
  ['E1', [0x1000], ['bus'], '(A,0x1000)'],
  ['E2', [0xfffff000], ANY, '(A,0xFFFFF000)'],
  ['E3', [4 * GIB], ANY, '(A,0xFFFFF000) (A+0xFFFFF000,0x1000)'],
  ['E4', [5 * GIB], ANY, '(A,0xFFFFF000) (A+0xFFFFF000,0x40001000)'],
  ['E5', [8 * GIB], ANY, '(A,0xFFFFF000) (A+0xFFFFF000,0xFFFFF000) (A+0x1FFFFE000,0x2000)'],
  [
    'E6',
    [16 * GIB],
    ANY,
    `(A,0xFFFFF000) (A+0xFFFFF000,0xFFFFF000) (A+0x1FFFFE000,0xFFFFF000) (A+0x2FFFFD000,0xFFFFF000)
     (A+0x3FFFFC000,0x4000)`,
  ],
  ['E7', [3 * GIB, 3 * GIB], APART, '(A,0xC0000000) (B,0xC0000000)'],
  ['E8', [3 * GIB, 3 * GIB], WINDOW, '(I,0xFFFFF000) (I+0xFFFFF000,0x80001000)'],
  [
    'E9',
    [5 * GIB, 5 * GIB],
    APART,
    '(A,0xFFFFF000) (A+0xFFFFF000,0x40001000) (B,0xFFFFF000) (B+0xFFFFF000,0x40001000)',
  ],
  ['E10', [5 * GIB, 5 * GIB], WINDOW, '(I,0xFFFFF000) (I+0xFFFFF000,0xFFFFF000) (I+0x1FFFFE000,0x80002000)'],
  ['E11 adjacent', [0x1000, 0x1000], APART, '(A,0x1000) (B,0x1000)'],
  ['E12', [0x1000, 0x1000], WINDOW, '(I,0x2000)'],
];

/** The same with pages of 64 KiB, of which the text has the last. */
const LARGE: readonly Row[] = [
  ['E1', [0x10000], ['bus'], '(A,0x10000)'],
  ['E2', [0xffff0000], ANY, '(A,0xFFFF0000)'],
  ['E4', [5 * GIB], ANY, '(A,0xFFFF0000) (A+0xFFFF0000,0x40010000)'],
  ['E5', [8 * GIB], ANY, '(A,0xFFFF0000) (A+0xFFFF0000,0xFFFF0000) (A+0x1FFFE0000,0x20000)'],
  [
    'E6',
    [16 * GIB],
    ANY,
    `(A,0xFFFF0000) (A+0xFFFF0000,0xFFFF0000) (A+0x1FFFE0000,0xFFFF0000) (A+0x2FFFD0000,0xFFFF0000)
     (A+0x3FFFC0000,0x40000)`,
  ],
  ['E7', [3 * GIB, 3 * GIB], APART, '(A,0xC0000000) (B,0xC0000000)'],
  ['E8', [3 * GIB, 3 * GIB], WINDOW, '(I,0xFFFF0000) (I+0xFFFF0000,0x80010000)'],
  [
    'E9',
    [5 * GIB, 5 * GIB],
    APART,
    '(A,0xFFFF0000) (A+0xFFFF0000,0x40010000) (B,0xFFFF0000) (B+0xFFFF0000,0x40010000)',
  ],
  ['E10', [5 * GIB, 5 * GIB], WINDOW, '(I,0xFFFF0000) (I+0xFFFF0000,0xFFFF0000) (I+0x1FFFE0000,0x80020000)'],
  ['E11 adjacent', [0x10000, 0x10000], APART, '(A,0x10000) (B,0x10000)'],
  ['E12', [0x10000, 0x10000], WINDOW, '(I,0x20000)'],
  ['E13', [4 * GIB], ANY, '(A,0xFFFF0000) (A+0xFFFF0000,0x10000)'],
];

const EXAMPLES = [
  ...SMALL.map((row) => ({ row, pageSize: 0x1000 })),
  ...LARGE.map((row) => ({ row, pageSize: 0x10000 })),
].flatMap(({ row: [name, lengths, ways, entries], pageSize }) =>
  ways.map((way) => ({ name, lengths, way, entries, pageSize })),
);

function mapped(rig: SgRig, ranges: Parameters<SgRig['map']>[0]): SgTable {
  const table = rig.map(ranges);
  if (isErrno(table)) throw new Error(`map answers ${table}`);
  return table;
}

const listOf = ({ entries }: SgTable): (readonly [bigint, number])[] =>
  entries.map(({ dmaAddress, dmaLength }) => [toBigint(dmaAddress), dmaLength]);

describe('example', () => {
  test.each(EXAMPLES)('$name with pages of $pageSize bytes, by $way', ({ name, lengths, way, entries, pageSize }) => {
    const rig = new SgRig(way);
    rig.kernel.pageSize = pageSize;
    const starts = [A, name.endsWith('adjacent') ? A + (lengths[0] ?? 0) : B];
    const untouched = rig.state;
    const table = mapped(
      rig,
      lengths.map((len, i) => ({ paddr: starts[i] as number, len })),
    );

    /** Where a range is on the bus, or in IOVA: that which the IOMMU translates to it. */
    const baseOf = (base: string): bigint => {
      const phys = starts[base === 'B' ? 1 : 0] as number;
      if (way === 'bus') return BigInt(phys - BUS_DISTANCE);
      if (way === 'ranges') return BigInt(phys);
      return BigInt(rig.domain.stretches.find((each) => each.phys === phys)?.iova ?? -1);
    };
    const expected = [...entries.matchAll(/\((.)(?:\+(\w+))?,(\w+)\)/g)].map(([, base = '', offset = '0', length]) => [
      baseOf(base) + BigInt(offset),
      Number(length),
    ]);
    expect(listOf(table)).toEqual(expected);
    expect(table.nents).toBe(expected.length);
    rig.unmap(table);
    expect(rig.state).toEqual(untouched);
  });
});

test('a list has no pages for the CPU, and says so by orig_nents', () => {
  const table = mapped(new SgRig('bus'), [{ paddr: A, len: 8 * GIB }]);
  expect(table.origNents).toBe(0);
  expect(table.entries.map(({ page, length }) => [page, length])).toEqual(table.entries.map(() => [undefined, 0]));
});

test('a table that is filled with more or less than it was allocated for is a splat', () => {
  const entries: SgEntry[] = [];
  const segment = { addr: bytes(0), length: 4 * GIB };
  expect(() => fillSgEntry(entries, 1, segment, 0xfffff000)).toThrow('an sg_table of 1 entries is filled with more');
  expect(entries).toHaveLength(1);
  expect(() => assertFull(entries, 2)).toThrow('an sg_table of 2 entries is filled with 1');
});

test('the longest entry is UINT_MAX rounded down to a page', () => {
  expect([0x1000, 0x10000].map(maxSegment)).toEqual([0xfffff000, 0xffff0000]);
});

describe('the number of entries', () => {
  test.each([
    [[], 0],
    [[0x1000], 1],
    [[0xfffff000, 0xfffff000], 2],
    [[0x100000000, 0x1000], 3],
    [[2 ** 40], 257],
    [[(2 ** 32 - 1) * 0xfffff000], 2 ** 32 - 1],
  ])('for lengths of %o is %d', (lengths, nents) => {
    expect(calcSgNents(lengths, 0xfffff000)).toBe(nents);
  });

  test.each([[[(2 ** 32 - 1) * 0xfffff000, 0x1000]], [[2 ** 63, 2 ** 63]], [[2 ** 64]]])(
    'does not fit into 32 bits for lengths of %o, which is 0',
    (lengths) => {
      expect(calcSgNents(lengths, 0xfffff000)).toBe(0);
    },
  );

  test.each(['bus', 'ranges'] as const)('that does not fit is EINVAL by %s, and leaves nothing', (way) => {
    const rig = new SgRig(way);
    const untouched = rig.state;
    expect(rig.map([2 ** 63, 2 ** 63].map((len) => ({ paddr: A, len })))).toBe('EINVAL');
    expect(rig.state).toEqual(untouched);
  });

  test('that is 0, because there is no range, is EINVAL', () => {
    expect(new SgRig('bus').map([])).toBe('EINVAL');
  });
});

test.each(['bus', 'window', 'ranges', 'ranges by IOMMU'] as const)('a TiB and a page more is exact by %s', (way) => {
  const rig = new SgRig(way);
  const len = 2 ** 40 + 0x1000;
  const table = mapped(rig, [{ paddr: A, len }]);
  const list = listOf(table);
  expect(list).toHaveLength(257);
  const [first = 0n] = list[0] ?? [];
  expect(list.at(-1)).toEqual([first + 256n * 0xfffff000n, 2 ** 40 + 0x1000 - 256 * 0xfffff000]);
  expect(list.reduce((sum, [, length]) => sum + length, 0)).toBe(len);
});

test('bus addresses wrap at 2^64, between ranges and within one', () => {
  const addresses = (paddr: number, len: number): bigint[] =>
    listOf(mapped(new SgRig('bus'), [{ paddr, len }])).map(([address]) => address);
  expect(addresses(0x1000, 0x1000)).toEqual([2n ** 64n + 0x1000n - BigInt(BUS_DISTANCE)]);
  expect(addresses(BUS_DISTANCE - 0x1000, 4 * GIB)).toEqual([2n ** 64n - 0x1000n, 0xffffe000n]);
});

describe('over a real page table', () => {
  const iommu = () => new Iommu([0x1000, 0x200000, 0x40000000], bytes(0), bytes(2 ** 48 - 1));
  const RANGES = [
    { paddr: A + 0x3000, len: 0x2000 },
    { paddr: B, len: 0x1000 },
  ];

  test.each([
    ['bidirectional', IOMMU_READ | IOMMU_WRITE],
    ['to device', IOMMU_READ],
    ['from device', IOMMU_WRITE],
  ] as const)('a window reaches its ranges in their order, as MMIO, %s', (dir, rights) => {
    const domain = new Domain(iommu(), 'nic');
    const rig = new SgRig('window', { dma: new DmaIommu({ domain, aperture: [0, 2 ** 48 - 1] }) });
    const table = rig.map(RANGES, dir) as SgTable;
    const start = table.entries[0]?.dmaAddress ?? bytes(0);
    const reached = [0, 0x1000, 0x2000, 0x2fff, 0x3000].map((offset) => domain.translate(add(start, bytes(offset))));
    expect(reached).toEqual([A + 0x3000, A + 0x4000, B, B + 0xfff, undefined]);
    expect(domain.protection(start)).toBe(rights | IOMMU_MMIO);
    rig.unmap(table);
    expect(domain.empty).toBe(true);
  });

  test.each([
    ['bidirectional', IOMMU_READ | IOMMU_WRITE],
    ['to device', IOMMU_READ],
    ['from device', IOMMU_WRITE],
  ] as const)('where no window is to be had, each range is reached as MMIO, %s', (dir, rights) => {
    const rig = new SgRig('ranges by IOMMU');
    const table = rig.map(RANGES, dir) as SgTable;
    expect(rig.domain.stretches.map(({ phys, length, prot }) => [phys, length, prot])).toEqual(
      RANGES.map(({ paddr, len }) => [paddr, len, rights | IOMMU_MMIO]),
    );
    rig.unmap(table);
    expect(rig.domain.stretches).toEqual([]);
  });

  test('a window is synced once, as a whole, when all of it is linked', () => {
    const rig = new SgRig('window');
    const { dma } = rig;
    const sync = vi.spyOn(dma as DmaIommu, 'iovaSync');
    const link = vi.spyOn(dma as DmaIommu, 'iovaLink');
    mapped(rig, RANGES);
    expect(sync.mock.calls).toEqual([[expect.objectContaining({ size: 0x3000, synced: 0x3000 }), 0, 0x3000]]);
    expect(link.mock.invocationCallOrder.at(-1)).toBeLessThan(sync.mock.invocationCallOrder[0] ?? 0);
  });
});
