/**
 * Which page frame a page of a mapping of a buffer shows, and how large a leaf may be there.
 *
 * Source: vfio-dmabuf 6.5, 6.11, V-56, V-57
 */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ORDERS, type Order } from '../../impl/kernel/cpu-page-table.ts';
import { Mm, Ram } from '../../impl/kernel/mm.ts';
import { ZERO } from '../../impl/kernel/units.ts';
import { Vma } from '../../impl/kernel/vma.ts';
import { VfioPciDmaBuf } from '../../impl/vfio/pci-dmabuf.ts';
import { findPfn } from '../../impl/vfio/pci-dmabuf-vma.ts';
import { BAR_START, Rig } from './vfio-rig.ts';

const device = new Rig().device();
const mm = new Mm(new Ram(2 ** 32, 2 ** 37));
/** A page of the process that begins a 2 MiB leaf. */
const V = 2 ** 20 * 9;

type Range = readonly [paddr: number, len: number];

function buffer(ranges: readonly Range[]): VfioPciDmaBuf {
  const physVec = ranges.map(([paddr, len]) => ({ paddr, len }));
  return new VfioPciDmaBuf('buffer', device, physVec, { owner: device.pci, busOffset: ZERO });
}

/** Pages [pgoff, pgoff + npages) of a file at a page of the process. */
function vma(npages: number, { pgoff = 0, start = V } = {}): Vma {
  const made = new Vma(mm, start, npages);
  return Object.assign(made, { pgoff });
}

const found = (priv: VfioPciDmaBuf, shown: Vma, page: number, order: Order): string => {
  const pfn = findPfn(priv, shown, page, order);
  return typeof pfn === 'number' ? `0x${pfn.toString(16)}` : pfn;
};

describe('the worked example, two ranges of 2 and of 512 pages', () => {
  const priv = buffer([
    [0xf000_1000, 0x2000],
    [0xf040_0000, 0x20_0000],
  ]);
  const whole = vma(0x202);

  test.each<[page: number, order: Order, expected: string]>([
    [0, 0, '0xf0001'],
    [1, 0, '0xf0002'],
    [2, 0, '0xf0400'],
    [0x201, 0, '0xf05ff'],
    [0, 9, 'EAGAIN'],
    [0x200, 9, 'EAGAIN'],
    [0x202, 0, 'EFAULT'],
    [-1, 0, 'EFAULT'],
    [0, 18, 'EAGAIN'],
  ])('page %i at order %i is %s', (page, order, expected) => {
    expect(found(priv, whole, V + page, order)).toBe(expected);
  });

  test.each<[page: number, order: Order, expected: string]>([
    [0, 9, '0xf0400'],
    [0x1ff, 9, '0xf0400'],
    [0x1ff, 0, '0xf05ff'],
  ])('mapped from the second range on, page %i at order %i is %s', (page, order, expected) => {
    expect(found(priv, vma(0x200, { pgoff: 2 }), V + page, order)).toBe(expected);
  });

  test('mapped from there on, but not where a large leaf begins, none fits', () => {
    const shown = vma(0x200, { pgoff: 2, start: V + 1 });
    expect([found(priv, shown, V + 1, 9), found(priv, shown, V + 1, 0)]).toEqual(['EAGAIN', '0xf0400']);
  });
});

test('a large leaf needs memory that is aligned to it', () => {
  const priv = buffer([[0xf040_1000, 0x40_0000]]);
  expect([found(priv, vma(0x400), V, 9), found(priv, vma(0x400), V, 0)]).toEqual(['EAGAIN', '0xf0401']);
});

test('a leaf lies in one range, even where the next goes on from it', () => {
  const priv = buffer([
    [0xf040_0000, 0x10_0000],
    [0xf050_0000, 0x10_0000],
  ]);
  expect([found(priv, vma(0x200), V, 9), found(priv, vma(0x200), V + 0x100, 0)]).toEqual(['EAGAIN', '0xf0500']);
});

test('a mapping that is longer than its buffer has no page behind it', () => {
  expect(found(buffer([[0xf000_0000, 0x1000]]), vma(2), V + 1, 0)).toBe('EFAULT');
});

const REGION = 2 * 2 ** 28;
/** What stands behind a mapping of BAR 2 from page `skipped` on; the BAR lies at 2 MiB times `first`. */
const ofBar = (first: number, pages: number, skipped: number): VfioPciDmaBuf =>
  Object.assign(buffer([[first * 0x20_0000 + skipped * 0x1000, pages * 0x1000]]), {
    vfile: {},
    vmaPgoffAdjust: skipped,
  });

describe('the page offset of a mapping', () => {
  const slice = (): VfioPciDmaBuf => ofBar(BAR_START / 0x20_0000, 3, 3);

  test('of a BAR counts once, and not its region', () => {
    expect(found(slice(), vma(3, { pgoff: REGION + 3 }), V, 0)).toBe('0x4000003');
  });

  test('of a BAR is right in what a split leaves', () => {
    expect(found(slice(), vma(1, { pgoff: REGION + 5, start: V + 2 }), V + 2, 0)).toBe('0x4000005');
  });

  test('of a buffer may be a terabyte and more', () => {
    const tib = 2 ** 40;
    const priv = buffer([
      [0x100_0000_0000, tib],
      [0x300_0000_0000, tib],
    ]);
    expect(found(priv, vma(1, { pgoff: 2 ** 28 + 1 }), V, 0)).toBe('0x30000001');
  });
});

test('an order-0 leaf shows the page at its offset, and a larger one nothing else, in any split of any mapping', () => {
  const ranges = fc.array(
    fc.tuple(fc.integer({ min: 0, max: 2 ** 12 }), fc.constantFrom(1, 2, 511, 512, 513, 1024, 1500)),
    {
      minLength: 1,
      maxLength: 4,
    },
  );
  const draw = fc.record({
    ranges,
    start: fc.constantFrom(0, 0, 1, 2, 511),
    cut: fc.tuple(fc.nat(), fc.nat()),
    // Where a cut lies beside the border of a leaf, and by how many pages; anywhere, if absent.
    beside: fc.tuple(...[0, 1].map(() => fc.option(fc.constantFrom(-2, -1, 0, 1), { freq: 2 }))),
    page: fc.nat(),
    skipped: fc.constantFrom(0, 1, 3, 0x200),
  });
  let large = 0;
  let short = 0;
  fc.assert(
    fc.property(draw, ({ ranges, start, cut, beside, page, skipped }) => {
      const priv = buffer(ranges.map(([first, pages]) => [first * 0x20_0000, pages * 0x1000]));
      const pages = ranges.flatMap(([first, count]) => Array.from({ length: count }, (_, i) => first * 0x200 + i));
      const cuts = cut.map((at, i) => {
        const anywhere = at % pages.length;
        const by = beside[i] ?? null;
        if (by === null) return anywhere;
        const border = anywhere - ((start + anywhere) % 0x200) + by;
        return Math.min(Math.max(border, 0), pages.length - 1);
      });
      const [a, b] = cuts.toSorted((x, y) => x - y) as [number, number];
      const part = vma(b - a + 1, { pgoff: a, start: V + start + a });
      const at = a + (page % (b - a + 1));
      expect(findPfn(priv, part, V + start + at, 0)).toBe(pages[at]);
      // The same pages as a mapping of a BAR, which was made whole from any page of it on, the first included.
      const slice = ofBar(ranges[0]?.[0] ?? 0, pages.length, skipped);
      const left = vma(b - a + 1, { pgoff: REGION + skipped + a, start: V + start + a });
      expect(findPfn(slice, left, V + start + at, 0)).toBe((ranges[0]?.[0] ?? 0) * 0x200 + skipped + at);
      for (const order of ORDERS.filter((o) => o !== 0)) {
        const pfn = findPfn(priv, part, V + start + at, order);
        const first = at - ((V + start + at) % 2 ** order);
        if (first >= a && first + 2 ** order - 2 === b) short++;
        if (typeof pfn !== 'number') continue;
        large++;
        const shown = pages.slice(first, first + 2 ** order);
        expect([first >= a, first + 2 ** order - 1 <= b, pfn % 2 ** order]).toEqual([true, true, 0]);
        expect(shown).toEqual(Array.from({ length: 2 ** order }, (_, i) => pfn + i));
      }
    }),
    { seed: 20261121, numRuns: 2000 },
  );
  expect(large).toBeGreaterThan(20);
  // Leaves for which the mapping is but a page too short.
  expect(short).toBeGreaterThan(20);
});
