/**
 * A map that fails, at whatever range and whatever allocation, and what it answers: the DMA API is left as it was.
 *
 * Source: vfio-dmabuf 5.3, 5.4
 */
import { describe, expect, test, vi } from 'vitest';
import type { PhysVec, SgTable } from '../../impl/dmabuf/sg-table.ts';
import { DmaDirect } from '../../impl/iommu/dma-direct.ts';
import { DmaIommu } from '../../impl/iommu/dma-iommu.ts';
import { isErrno } from '../../impl/kernel/errno.ts';
import { SgRig, SparseDomain, type Way } from './sg-rig.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

const GIB = 0x40000000;
const A = 0x40_0000_0000;
const RANGES: readonly PhysVec[] = [
  { paddr: A, len: 0x1000 },
  { paddr: A + 8 * GIB, len: 9 * GIB },
  { paddr: A, len: 0x1000 },
];
const NEIGHBOUR: readonly PhysVec[] = [{ paddr: A + 64 * GIB, len: 5 * GIB }];
const SITES: Readonly<Record<Way, readonly string[]>> = {
  bus: ['dma_buf_phys_vec_to_sgt', 'sg_alloc_table'],
  window: [
    'dma_buf_phys_vec_to_sgt',
    'dma_iova_state',
    'dma_iova_try_alloc',
    'sg_alloc_table',
    ...['dma_iova_link', 'dma_iova_link', 'dma_iova_link'],
    'dma_iova_sync',
  ],
  ranges: ['dma_buf_phys_vec_to_sgt', 'dma_iova_state', 'sg_alloc_table', ...RANGES.map(() => 'dma_map_phys')],
  'ranges by IOMMU': [
    'dma_buf_phys_vec_to_sgt',
    'dma_iova_state',
    'sg_alloc_table',
    ...RANGES.map(() => 'dma_map_phys'),
  ],
};
const WAYS = Object.keys(SITES) as Way[];

/** With another map beside, which must stay what it is. */
function rigOf(way: Way, config?: ConstructorParameters<typeof SgRig>[1]): SgRig {
  const rig = new SgRig(way, config);
  if (config === undefined) rig.map(NEIGHBOUR);
  return rig;
}

describe('a map with one fault', () => {
  const cases = WAYS.flatMap((way) => SITES[way].map((site, at) => ({ way, site, nth: at + 1 })));

  test.each(cases)('by $way, at point $nth, $site, leaves the DMA API as it was', ({ way, site, nth }) => {
    const rig = rigOf(way);
    const untouched = rig.state;
    const { faults } = rig.kernel;
    faults.arm(nth);
    const table = rig.map(RANGES);
    const { fired } = faults;
    faults.disarm();
    expect([fired, faults.passed[nth - 1]]).toEqual([true, site]);
    if (site === 'dma_iova_try_alloc') {
      // No window is no failure: the ranges are mapped one by one.
      expect(rig.dma.live.lines).toHaveLength(RANGES.length);
      rig.unmap(table as SgTable);
    } else {
      expect(table).toBe('ENOMEM');
    }
    expect(rig.state).toEqual(untouched);
  });

  test.each(WAYS)('by %s passes all those points and no other, and so none when it succeeds', (way) => {
    const rig = rigOf(way);
    const untouched = rig.state;
    rig.kernel.faults.arm(1000);
    const table = rig.map(RANGES) as SgTable;
    expect(rig.kernel.faults.passed).toEqual(SITES[way]);
    if (way !== 'bus') expect(rig.state).not.toEqual(untouched);
    rig.unmap(table);
    expect(rig.state).toEqual(untouched);
    expect(rig.kernel.faults.passed, 'unmap cannot fail').toEqual(SITES[way]);
  });
});

describe('a map of which the IOMMU refuses a range', () => {
  const MANY = Array.from({ length: 6 }, (_, i) => ({ paddr: A + i * 16 * GIB, len: 5 * GIB }));

  test.each(['window', 'ranges by IOMMU'] as const)('by %s, whichever it is, is undone to the byte', (way) => {
    for (const refused of MANY.keys()) {
      const rig = rigOf(way);
      const untouched = rig.state;
      const { domain } = rig;
      const map = domain.map.bind(domain);
      let calls = 0;
      domain.map = (...args) => (calls++ === refused ? 'ERANGE' : map(...args));
      expect(rig.map(MANY), `range ${refused}`).toBe('ERANGE');
      expect(calls).toBe(refused + 1);
      expect(rig.state, `range ${refused}`).toEqual(untouched);
    }
  });
});

describe('what a map answers', () => {
  const bounced = new DmaDirect({ bounce: true });
  const granules = new SparseDomain(0x10000);
  const untrusted = () => new DmaIommu({ domain: granules, aperture: [0, 2 ** 40], untrusted: true });

  test.each([
    ['a device that is no PCI function', 'bus', { dev: { name: 'iommufd' } }, RANGES, 'EINVAL'],
    ['no range', 'window', {}, [], 'EINVAL'],
    ['more entries than can be counted', 'ranges', {}, [2 ** 63, 2 ** 63].map((len) => ({ paddr: A, len })), 'EINVAL'],
    ['memory that would have to be bounced', 'ranges', { dma: bounced }, RANGES, 'EPERM'],
    ['memory beyond what the device can say', 'ranges', { dma: new DmaDirect({ mask: A + 1 }) }, RANGES, 'ENOMEM'],
  ] as const)('for %s, by %s, leaves nothing', (_, way, config, ranges, answer) => {
    const rig = rigOf(way, config);
    const untouched = rig.state;
    expect(rig.map(ranges)).toBe(answer);
    expect(rig.state).toEqual(untouched);
  });

  test('without an IOMMU is ENOMEM for a byte more than the device can say, and nothing less', () => {
    const page = { paddr: A, len: 0x1000 };
    const by = (mask: number) => rigOf('ranges', { dma: new DmaDirect({ mask }) }).map([page]);
    expect(by(A + 0xffe)).toBe('ENOMEM');
    expect(isErrno(by(A + 0xfff))).toBe(false);
  });

  test.each([
    ['a range', A, 0x1000],
    ['the start of a range', A + 0x1000, 0x10000],
  ])('is EPERM when an untrusted device would see more than %s, because granules are larger', (_, paddr, len) => {
    for (const way of ['window', 'ranges'] as const) {
      const dma = untrusted();
      if (way === 'ranges') dma.iovaTryAlloc = () => undefined;
      const rig = rigOf(way, { dma });
      expect(
        rig.map([
          { paddr: A, len: 0x10000 },
          { paddr, len },
        ]),
      ).toBe('EPERM');
      expect([dma.iovas.taken, dma.live.lines, granules.stretches]).toEqual([[], [], []]);
    }
  });

  test('is EINVAL when a trusted one asks for less than a granule, which the IOMMU refuses', () => {
    const dma = new DmaIommu({ domain: granules, aperture: [0, 2 ** 40] });
    const rig = rigOf('window', { dma });
    expect(rig.map([{ paddr: A, len: 0x1000 }])).toBe('EINVAL');
    expect([dma.iovas.taken, granules.stretches]).toEqual([[], []]);
  });

  test('by IOMMU is ENOMEM when there are no IOVAs left, and by a window it is the ranges one by one', () => {
    const domain = new SparseDomain();
    const dma = new DmaIommu({ domain, aperture: [0x1000, 0x4fff] });
    const rig = rigOf('window', { dma });
    const page = { paddr: A, len: 0x1000 };
    // Four pages, but no window of three that begins at a multiple of four.
    expect(isErrno(rig.map([page, page, page]))).toBe(false);
    expect(dma.live.lines).toHaveLength(3);
    const [before] = [structuredClone([dma.iovas.taken, domain.stretches])];
    expect(rig.map([page, page])).toBe('ENOMEM');
    expect([dma.iovas.taken, domain.stretches]).toEqual(before);
  });
});
