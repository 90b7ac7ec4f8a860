/** The DMA API of a device: windows of IOVAs, single pieces, and splats for what was not done. */
import { describe, expect, test, vi } from 'vitest';
import type { DmaIovaState } from '../../impl/iommu/dma-api.ts';
import { DmaDirect } from '../../impl/iommu/dma-direct.ts';
import { DmaIommu } from '../../impl/iommu/dma-iommu.ts';
import { Domain, Iommu } from '../../impl/iommu/domain.ts';
import { IovaAllocator } from '../../impl/iommu/iova.ts';
import { bytes, toNumber, type U64 } from '../../impl/kernel/units.ts';
import { Rig } from './vfio-rig.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

const APERTURE = [0, 0xffff_ffff] as const;

interface Setup {
  readonly rig: Rig;
  readonly domain: Domain;
  readonly dma: DmaIommu;
  readonly window: (size: number) => DmaIovaState;
}

function setup(): Setup {
  const rig = new Rig();
  const domain = new Domain(new Iommu([0x1000, 0x200000], bytes(0), bytes(2 ** 48 - 1)), 'nic');
  const dma = new DmaIommu({ domain, aperture: APERTURE });
  return { rig, domain, dma, window: (size) => rig.within(() => dma.iovaTryAlloc(size)) as DmaIovaState };
}

describe('a window', () => {
  test('is the highest that is free, aligned to its size, and reaches nothing yet', () => {
    const { domain, window } = setup();
    expect([0x1000, 0x3000, 0x1000].map((size) => toNumber(window(size).addr))).toEqual([
      0xffff_f000, 0xffff_c000, 0xffff_b000,
    ]);
    expect(domain.empty).toBe(true);
  });

  test('reaches what is linked, one range behind the other, and nothing when it is unlinked', () => {
    const { rig, domain, dma, window } = setup();
    const state = window(0x3000);
    rig.within(() => {
      expect(dma.iovaLink(state, 0x40_0000_0000, 0, 0x1000, 'bidirectional')).toBeUndefined();
      expect(dma.iovaLink(state, 0x50_0000_0000, 0x1000, 0x2000, 'bidirectional')).toBeUndefined();
      expect(dma.iovaSync(state, 0, 0x3000)).toBeUndefined();
    });
    expect([state.linked, state.synced]).toEqual([0x3000, 0x3000]);
    const reached = [0, 0xfff, 0x1000, 0x2fff].map((offset) => domain.translate(bytes(toNumber(state.addr) + offset)));
    expect(reached).toEqual([0x40_0000_0000, 0x40_0000_0fff, 0x50_0000_0000, 0x50_0000_1fff]);
    rig.within(() => dma.iovaUnlink(state, 0x3000));
    expect(domain.empty).toBe(true);
    dma.iovaFree(state);
    expect(dma.iovas.taken).toEqual([]);
  });

  test('is linked, synced and unlinked as far as it goes, and freed when it is empty', () => {
    const { rig, dma, window } = setup();
    const state = window(0x3000);
    const link = (offset: number) => rig.within(() => dma.iovaLink(state, 0x40_0000_0000, offset, 0x1000, 'to device'));
    expect(() => link(0x1000)).toThrow('linked at 4096, and not at its end, 0');
    link(0);
    expect(() => rig.within(() => dma.iovaSync(state, 0, 0x3000))).toThrow('a sync of 12288 bytes where 4096');
    expect(() => rig.within(() => dma.iovaUnlink(state, 0x3000))).toThrow('an unlink of 12288 bytes where 4096');
    expect(() => dma.iovaFree(state)).toThrow('freed with 4096 bytes linked');
    rig.within(() => dma.iovaUnlink(state, 0x1000));
    dma.iovaFree(state);
    expect(() => dma.iovaFree(state)).toThrow('are not taken');
  });
});

describe.each([
  ['by IOMMU', () => setup().dma],
  ['directly', () => new DmaDirect()],
])('pieces that are mapped %s', (_, make) => {
  const rig = new Rig();
  const map = (dma: ReturnType<typeof make>, size: number): U64 =>
    rig.within(() => dma.mapPhys(0x40_0000_0000, size, 'bidirectional')) as U64;

  test('are unmapped as they were mapped, in whatever order', () => {
    const dma = make();
    const [first, second] = [map(dma, 0x1000), map(dma, 0x1000)];
    expect(dma.live.lines.join()).toMatch(/length 0x1000 × [12]/);
    rig.within(() => dma.unmapPhys(first, 0x1000));
    expect(dma.live.lines).toHaveLength(1);
    rig.within(() => dma.unmapPhys(second, 0x1000));
    expect(dma.live.lines).toEqual([]);
  });

  test('and unmapped twice, in part or elsewhere are a splat', () => {
    const dma = make();
    const addr = map(dma, 0x2000);
    for (const [at, size] of [
      [addr, 0x1000],
      [bytes(0x1000), 0x2000],
    ] as const) {
      expect(() => rig.within(() => dma.unmapPhys(at, size))).toThrow('no DMA mapping of');
    }
    rig.within(() => dma.unmapPhys(addr, 0x2000));
    expect(() => rig.within(() => dma.unmapPhys(addr, 0x2000))).toThrow('double unmap');
  });
});

test('a device without an IOMMU has no windows', () => {
  const dma = new DmaDirect();
  expect(dma.iovaTryAlloc()).toBeUndefined();
  expect(() => dma.iovaLink()).toThrow('a window of IOVAs without an IOMMU');
});

describe('IOVAs', () => {
  test('are never 0, and none are left in the end', () => {
    const iovas = new IovaAllocator(0, 4);
    expect([1, 1, 1, 1].map((length) => iovas.alloc(length))).toEqual([3, 2, 1, undefined]);
  });

  test('are found again in a hole that is large enough, and aligned enough', () => {
    const iovas = new IovaAllocator(0, 64);
    const given = [8, 8, 8, 8].map((length) => iovas.alloc(length) as number);
    expect(given).toEqual([56, 48, 40, 32]);
    iovas.free(48, 8);
    expect([9, 5, 3, 4].map((length) => iovas.alloc(length))).toEqual([16, 48, 28, 12]);
    expect(iovas.taken.map(({ start, length }) => [start, length])).toEqual([
      [56, 8],
      [48, 5],
      [40, 8],
      [32, 8],
      [28, 3],
      [16, 9],
      [12, 4],
    ]);
  });

  test('that do not fit are refused, and nothing is taken', () => {
    const iovas = new IovaAllocator(0, 64);
    expect([64, 33].map((length) => iovas.alloc(length))).toEqual([undefined, undefined]);
    expect(iovas.taken).toEqual([]);
    expect(iovas.alloc(32)).toBe(32);
  });
});
