import { expect, test } from 'vitest';
import { Domain, Iommu } from '../../impl/iommu/domain.ts';
import { IOMMU_CACHE, IOMMU_MMIO, IOMMU_READ, IOMMU_WRITE } from '../../impl/iommu/prot.ts';
import { Kernel } from '../../impl/kernel/thread.ts';
import { fromBigint, toBigint, U64_MAX, ZERO } from '../../impl/kernel/units.ts';
import { inTask, splatOf } from './kernel-rig.ts';

const RW = IOMMU_READ | IOMMU_WRITE;
const APERTURE = [fromBigint(0x1000n), fromBigint(0xffff_ffff_ffffn)] as const;
const domain = (pageSizes: readonly number[] = [0x1000, 0x200000]): Domain =>
  new Domain(new Iommu(pageSizes, ...APERTURE), 'd');

const map = (d: Domain, iova: bigint, phys: number, length: number, prot = RW, kernel?: Kernel): unknown =>
  inTask(() => d.map(fromBigint(iova), phys, length, prot), kernel);
const unmap = (d: Domain, iova: bigint, length: number): unknown => d.unmap(fromBigint(iova), length);
const stretches = (d: Domain, first = ZERO, last = APERTURE[1]): unknown[] =>
  d.stretches(first, last).map(({ iova, phys, length, prot }) => [toBigint(iova), phys, length, prot]);

test.each<[what: string, iova: bigint, phys: number, length: number]>([
  ['IOVA', 0x1800n, 0x4000, 0x1000],
  ['physical address', 0x1000n, 0x4800, 0x1000],
  ['length', 0x1000n, 0x4000, 0x800],
  ['IOVA, by a byte,', 0x1001n, 0x4000, 0x1000],
  ['physical address, by a byte,', 0x1000n, 0x4001, 0x1000],
  ['length, by a byte,', 0x1000n, 0x4000, 0x1001],
])('map is EINVAL and maps nothing, when the %s is no multiple of the smallest page', (_, iova, phys, length) => {
  const d = domain();
  expect(map(d, iova, phys, length)).toBe('EINVAL');
  expect([d.empty, d.iommu.calls]).toEqual([true, []]);
});

test.each<[what: string, iova: bigint, phys: number, answer: unknown]>([
  ['up to the last IOVA', 0xffff_ffff_e000n, 0x4000, undefined],
  ['beyond the last IOVA', 0xffff_ffff_f000n, 0x4000, 'ERANGE'],
  ['up to the last physical address', 0x4000n, 2 ** 52 - 0x2000, undefined],
  ['beyond the last physical address', 0x4000n, 2 ** 52 - 0x1000, 'ERANGE'],
])('map of two pages %s answers %s', (_, iova, phys, answer) => {
  const d = domain();
  expect(map(d, iova, phys, 0x2000)).toBe(answer);
  expect([d.empty, d.iommu.calls.length]).toEqual(answer === undefined ? [false, 1] : [true, 0]);
  if (answer === undefined) expect(d.translate(fromBigint(iova + 0x1fffn))).toBe(phys + 0x1fff);
});

test('map takes half pages, when the smallest page is one: leaves of 2 KiB, and translation to the byte', () => {
  const d = domain([0x800, 0x100000]);
  expect(map(d, 0x1800n, 0x40800, 0x1000)).toBe(undefined);
  expect(d.leaves(ZERO, APERTURE[1]).map(({ iova, phys, length }) => [toBigint(iova), phys, length])).toEqual([
    [0x1800n, 0x40800, 0x800],
    [0x2000n, 0x41000, 0x800],
  ]);
  const translated = [0x17ffn, 0x1800n, 0x27ffn, 0x2800n].map((iova) => d.translate(fromBigint(iova)));
  expect(translated).toEqual([undefined, 0x40800, 0x417ff, undefined]);
});

test('map splats, when nothing is permitted', () => {
  const refused = (): unknown => map(domain(), 0x1000n, 0x4000, 0x1000, IOMMU_CACHE);
  expect(splatOf(refused)).toBe('WARN: a mapping that permits nothing');
});

test('map is ENOMEM and logs no call, when the IOMMU driver has no memory', () => {
  const kernel = new Kernel();
  const d = domain();
  for (const site of ['iommu_map', 'iommu_alloc_pages']) {
    kernel.faults.arm(1, site);
    expect(map(d, 0x1000n, 0x4000, 0x1000, RW, kernel)).toBe('ENOMEM');
    expect([kernel.faults.fired, d.empty, d.iommu.calls]).toEqual([true, true, []]);
  }
});

test('every map and unmap is logged in order, with what it really did', () => {
  const d = domain();
  map(d, 0x2000n, 0x8000, 0x3000, RW | IOMMU_MMIO);
  unmap(d, 0x2000n, 0x3000);
  expect(d.iommu.calls).toEqual([
    { op: 'map', domain: d, iova: fromBigint(0x2000n), phys: 0x8000, length: 0x3000, prot: RW | IOMMU_MMIO },
    { op: 'unmap', domain: d, iova: fromBigint(0x2000n), length: 0x3000, asked: 0x3000 },
  ]);
});

test.each<[what: string, length: number, cleared: string]>([
  ['nothing is mapped', 0, '0x0'],
  ['less is mapped', 0x2000, '0x2000'],
])('unmap splats and says how little there was, when %s', (_, length, cleared) => {
  const d = domain();
  if (length > 0) map(d, 0x2000n, 0x8000, length);
  expect(splatOf(() => unmap(d, 0x2000n, 0x3000))).toBe(
    `double unmap: domain d, [0x2000, length 0x3000): only ${cleared} bytes from the start were mapped`,
  );
  expect(d.iommu.calls.at(-1)).toMatchObject({ op: 'unmap', length: length, asked: 0x3000 });
});

test.each<[what: string, iova: bigint, length: number]>([
  ['IOVA', 0x2800n, 0x1000],
  ['length', 0x2000n, 0x1800],
])('unmap splats and clears nothing, when the %s is no multiple of the smallest page', (_, iova, length) => {
  const d = domain();
  map(d, 0x2000n, 0x8000, 0x3000);
  expect(splatOf(() => unmap(d, iova, length))).toMatch(/^double unmap: .*: only 0x0 bytes/);
  expect(stretches(d)).toEqual([[0x2000n, 0x8000, 0x3000, RW]]);
});

test('destroy splats with mappings left, and does not when they are gone', () => {
  const d = domain();
  map(d, 0x2000n, 0x8000, 0x1000);
  expect(splatOf(() => d.destroy())).toBe('leak: domain d is destroyed with mappings');
  unmap(d, 0x2000n, 0x1000);
  d.destroy();
  expect(d.empty).toBe(true);
});

test('translate gives the address of each byte of a large page, and protection its bits', () => {
  const d = domain();
  map(d, 0x40_0000n, 0x8000_0000, 0x200000, IOMMU_READ | IOMMU_MMIO);
  const at = fromBigint(0x5f_ffffn);
  expect([d.translate(at), d.protection(at)]).toEqual([0x801f_ffff, IOMMU_READ | IOMMU_MMIO]);
  const behind = fromBigint(0x60_0000n);
  expect([d.translate(behind), d.protection(behind)]).toEqual([undefined, 0]);
});

test('an address is in the aperture from its first to its last byte', () => {
  const d = domain();
  const edges = [0xfffn, 0x1000n, 0xffff_ffff_ffffn, 0x1_0000_0000_0000n].map((iova) => d.inAperture(fromBigint(iova)));
  expect([...edges, d.inAperture(U64_MAX)]).toEqual([false, true, true, false, false]);
});

test('stretches merge neighbours that continue each other with the same protection, and only those', () => {
  const d = domain();
  map(d, 0x2000n, 0x10000, 0x1000);
  map(d, 0x3000n, 0x11000, 0x2000); // Continues it.
  map(d, 0x5000n, 0x20000, 0x1000); // Elsewhere.
  map(d, 0x6000n, 0x21000, 0x1000, IOMMU_READ); // Continues, but read-only.
  map(d, 0x8000n, 0x22000, 0x1000, IOMMU_READ); // Behind a hole.
  expect(stretches(d)).toEqual([
    [0x2000n, 0x10000, 0x3000, RW],
    [0x5000n, 0x20000, 0x1000, RW],
    [0x6000n, 0x21000, 0x1000, IOMMU_READ],
    [0x8000n, 0x22000, 0x1000, IOMMU_READ],
  ]);
});

test('stretches are clipped to what was asked for', () => {
  const d = domain();
  map(d, 0x2000n, 0x10000, 0x4000);
  expect(stretches(d, fromBigint(0x3000n), fromBigint(0x4fffn))).toEqual([[0x3000n, 0x11000, 0x2000, RW]]);
});
