/** Batches, and the reader that fills them: where a batch ends, and what is undone when a later one fails. */

import { describe, expect, test } from 'vitest';
import { Domain, Iommu } from '../../impl/iommu/domain.ts';
import { IOMMU_READ } from '../../impl/iommu/prot.ts';
import { Area } from '../../impl/iommufd/area.ts';
import { IoPagetable } from '../../impl/iommufd/io-pagetable.ts';
import { mapPages } from '../../impl/iommufd/map.ts';
import { Pages } from '../../impl/iommufd/pages.ts';
import { PfnBatch } from '../../impl/iommufd/pfn-batch.ts';
import { unmapRange } from '../../impl/iommufd/unmap.ts';
import { type Backing, Mm, Ram } from '../../impl/kernel/mm.ts';
import { drain, Kernel, Task, type Thread } from '../../impl/kernel/thread.ts';
import { bytes, fromBigint, hex, u64, ZERO } from '../../impl/kernel/units.ts';
import { Vma } from '../../impl/kernel/vma.ts';
import { protection } from './iommufd-rig.ts';
import { inTask } from './kernel-rig.ts';

/** What the default memory limit gives, as runs of pages that are not neighbours. */
const CAPACITY = 5461;
const IOVA = fromBigint(0x100_0000n);

function domain(name: string): Domain {
  return new Domain(new Iommu([0x1000], ZERO, fromBigint(0xffff_ffffn)), name);
}

function areaOf(pages: number, offset = 0, length = pages * 0x1000 - offset): Area {
  const last = fromBigint(0x100_0000n + BigInt(length) - 1n);
  return new Area(new IoPagetable(), IOVA, last, IOMMU_READ, u64(0, offset));
}

const callsOf = (d: Domain): string[] =>
  d.iommu.calls.map((call) =>
    call.op === 'map'
      ? `map ${hex(call.iova)} -> ${hex(call.phys)} ${hex(call.length)} ${protection(call.prot)}`
      : `unmap ${hex(call.iova)} ${hex(call.length)}`,
  );

describe('a batch', () => {
  test('makes one run of neighbours, and another where they are none', () => {
    const batch = new PfnBatch();
    for (const [pfn, count] of [
      [7, 1],
      [8, 2],
      [10, 1],
      [12, 1],
      [11, 1],
    ] as const)
      batch.add(pfn, count, 'cpu');
    const d = domain('d');
    inTask(() => batch.toDomain(d, areaOf(6), 0));
    expect(batch.total).toBe(6);
    expect(callsOf(d)).toEqual([
      'map 0x1000000 -> 0x7000 0x4000 R+CACHE',
      'map 0x1004000 -> 0xc000 0x1000 R+CACHE',
      'map 0x1005000 -> 0xb000 0x1000 R+CACHE',
    ]);
  });

  test('takes one kind at a time, and either after it was cleared', () => {
    const batch = new PfnBatch();
    expect([batch.add(1, 1, 'mmio'), batch.add(2, 1, 'cpu'), batch.total]).toEqual([true, false, 1]);
    batch.clear();
    expect([batch.total, batch.add(2, 1, 'cpu'), batch.add(3, 1, 'mmio')]).toEqual([0, true, false]);
    const d = domain('d');
    inTask(() => batch.toDomain(d, areaOf(1), 0));
    expect(callsOf(d)).toEqual(['map 0x1000000 -> 0x2000 0x1000 R+CACHE']);
  });

  test('is full after so many runs, but takes neighbours of the last', () => {
    const batch = new PfnBatch();
    for (let run = 0; run < CAPACITY; run++) expect(batch.add(run * 2, 1, 'cpu')).toBe(true);
    const last = CAPACITY * 2 - 1;
    expect([batch.add(last, 3, 'cpu'), batch.add(last + 10, 1, 'cpu'), batch.total]).toEqual([
      true,
      false,
      CAPACITY + 3,
    ]);
  });

  test.each<[at: number, count: number, runs: [number, number][]]>([
    [
      0,
      6,
      [
        [7, 4],
        [12, 2],
      ],
    ],
    [1, 2, [[8, 2]]],
    [
      3,
      2,
      [
        [10, 1],
        [12, 1],
      ],
    ],
    [4, 1, [[12, 1]]],
    [5, 1, [[13, 1]]],
    [2, 0, []],
  ])('shows the runs from its page %i on, %i pages', (at, count, runs) => {
    const batch = new PfnBatch();
    batch.add(7, 4, 'cpu');
    batch.add(12, 2, 'cpu');
    const seen: [number, number][] = [];
    batch.eachRun(at, count, (pfn, length) => seen.push([pfn, length]));
    expect(seen).toEqual(runs);
  });

  test('undoes its runs in the domain that could not take one of them', () => {
    const batch = new PfnBatch();
    for (const pfn of [7, 9, 11]) batch.add(pfn, 1, 'cpu');
    const d = domain('d');
    const kernel = new Kernel();
    for (const [nth, undone] of [
      [1, []],
      [3, ['unmap 0x1000000 0x2000']],
    ] as const) {
      d.iommu.calls.length = 0;
      kernel.faults.arm(nth, 'iommu_map');
      expect(inTask(() => batch.toDomain(d, areaOf(3), 0), kernel)).toBe('ENOMEM');
      expect([callsOf(d).filter((call) => call.startsWith('unmap')), d.empty]).toEqual([undone, true]);
    }
  });

  test('is mapped page by page, without large pages; a page that fails takes the others back', () => {
    const batch = new PfnBatch();
    batch.add(7, 3, 'mmio');
    const area = areaOf(3);
    area.iopt.disableLargePages = true;
    const d = domain('d');
    inTask(() => batch.toDomain(d, area, 0));
    expect(callsOf(d)).toEqual([
      'map 0x1000000 -> 0x7000 0x1000 R+MMIO',
      'map 0x1001000 -> 0x8000 0x1000 R+MMIO',
      'map 0x1002000 -> 0x9000 0x1000 R+MMIO',
    ]);
    const kernel = new Kernel();
    for (const nth of [1, 3]) {
      const failing = domain('f');
      kernel.faults.arm(nth, 'iommu_map');
      expect(inTask(() => batch.toDomain(failing, area, 0), kernel)).toBe('ENOMEM');
      expect([failing.empty, failing.iommu.calls.length]).toEqual([true, nth === 1 ? 0 : nth]);
    }
  });

  test('is cut where the area begins and ends within pages', () => {
    const batch = new PfnBatch();
    batch.add(7, 2, 'cpu');
    const d = new Domain(new Iommu([0x800], ZERO, fromBigint(0xffff_ffffn)), 'd');
    inTask(() => batch.toDomain(d, areaOf(2, 0x800, 0x1000), 0));
    expect(callsOf(d)).toEqual(['map 0x1000000 -> 0x7800 0x1000 R+CACHE']);
  });
});

/** A process of which no two pages are neighbours in RAM. */
class Scattered extends Mm {
  readonly #pages: Backing[];

  constructor(ram: Ram, pages: number) {
    super(ram);
    this.#pages = Array.from({ length: pages }, (_, i) => ram.allocate(`page${i}`, bytes(0x1000)) as Backing);
  }

  override find(page: number): Vma | undefined {
    const backing = this.#pages[page];
    return backing && Object.assign(new Vma(this, page, 1), { backing });
  }
}

/** Memory that takes two batches, and two domains for it. */
class Scatter {
  readonly ram = new Ram(2 ** 32, 2 ** 37);
  readonly npages = CAPACITY + 5;
  readonly mm = new Scattered(this.ram, this.npages);
  readonly iopt = new IoPagetable();
  readonly domains = [domain('first'), domain('second')];
  readonly kernel = new Kernel();

  constructor() {
    this.iopt.domains.push(...this.domains);
  }

  map(): unknown {
    const pages = new Pages({ kind: 'user', mm: this.mm, startPage: 0 }, this.npages, true, this.ram);
    const piece = { pages, start: ZERO, length: bytes(this.npages * 0x1000), area: undefined };
    return this.run(mapPages(this.iopt, [piece], piece.length, IOVA, IOMMU_READ));
  }

  run<T>(thread: Thread<T>): T {
    return drain(new Task('task', this.kernel), () => thread);
  }

  get pinned(): number {
    return this.ram.backings.reduce((sum, backing) => sum + backing.pinned, 0);
  }
}

test('memory in more runs than a batch holds is mapped in two, in both domains, and unmapped and unpinned', () => {
  const scatter = new Scatter();
  expect(scatter.map()).toEqual(IOVA);
  expect(scatter.pinned).toBe(scatter.npages);
  const order = scatter.domains.map((d) => d.iommu.calls.length);
  expect(order).toEqual([scatter.npages, scatter.npages]);
  expect(scatter.run(unmapRange(scatter.iopt, IOVA, fromBigint(0xffff_ffffn)))).toEqual({
    bytes: bytes(scatter.npages * 0x1000),
  });
  expect([scatter.pinned, ...scatter.domains.map((d) => d.empty)]).toEqual([0, true, true]);
});

test.each<[what: string, site: string, nth: number]>([
  ['the buffer of the second batch', 'batch_init', 2],
  ['the last page to pin', 'pin_user_pages', CAPACITY + 5],
  ['the second batch, in the first domain', 'iommu_map', CAPACITY * 2 + 3],
  ['the second batch, in the second domain', 'iommu_map', CAPACITY * 2 + 5 + 3],
  ['the first batch, in the second domain', 'iommu_map', CAPACITY + 3],
])('a map that fails at %s leaves no batch mapped, and nothing pinned', (_, site, nth) => {
  const scatter = new Scatter();
  scatter.kernel.faults.arm(nth, site);
  expect(scatter.map()).toBe(site === 'pin_user_pages' ? 'EFAULT' : 'ENOMEM');
  expect(scatter.kernel.faults.fired).toBe(true);
  expect([scatter.pinned, ...scatter.domains.map((d) => d.empty)]).toEqual([0, true, true]);
  expect(scatter.iopt.areas.size).toBe(0);
});
