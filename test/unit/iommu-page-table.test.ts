import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PageTable } from '../../impl/iommu/page-table.ts';
import { PageTableFormat } from '../../impl/iommu/page-table-format.ts';
import { Kernel } from '../../impl/kernel/thread.ts';
import { inTask, splatOf, sweep } from './kernel-rig.ts';

/** Three levels: leaves of 1, 512 and 512 * 512 granules. */
const SIZES = [1, 512, 512 * 512];
/** Every power of two up to 512 * 512 granules: most are leaves of several entries. */
const POWERS = Array.from({ length: 19 }, (_, order) => 2 ** order);
const FORMATS = [
  ['three sizes', SIZES],
  ['every power of two', POWERS],
] as const;
const GRANULES = 2 ** 27;
const PROT = 3;
const table = (sizes: readonly number[] = SIZES, granules = GRANULES): PageTable =>
  new PageTable(new PageTableFormat(granules, sizes));

interface Leaf {
  readonly granule: number;
  readonly target: number;
  readonly granules: number;
}

function leavesOf(pages: PageTable, first = 0, last = GRANULES - 1): Leaf[] {
  const leaves: Leaf[] = [];
  pages.walk(first, last, (granule, target, granules) => leaves.push({ granule, target, granules }));
  return leaves;
}

/** I-67 said once more: at each address the largest size that divides both, and is not too long. */
function greedy({ granule, target, granules }: Leaf, sizes: readonly number[]): Leaf[] {
  const leaves: Leaf[] = [];
  for (let done = 0; done < granules; ) {
    const [from, to, left] = [granule + done, target + done, granules - done];
    const size = Math.max(...sizes.filter((s) => from % s === 0 && to % s === 0 && s <= left));
    leaves.push({ granule: from, target: to, granules: size });
    done += size;
  }
  return leaves;
}

/** A granule number near a boundary of some size, so that large leaves occur and end in the middle of things. */
const granule = fc
  .tuple(fc.constantFrom(...SIZES), fc.nat(300), fc.integer({ min: -2, max: 2 }))
  .map(([size, times, off]) => Math.max(0, size * times + off));
const leaf = (unit: number, longest: number): fc.Arbitrary<Leaf> =>
  fc
    .record({ granule, target: granule, granules: fc.integer({ min: 1, max: longest }) })
    .map((small) => ({ granule: small.granule * unit, target: small.target * unit, granules: small.granules * unit }));

test.each(FORMATS)(
  'map uses at each address the largest leaf that divides IOVA and target and is not too long (I-67), of %s',
  (_, sizes) => {
    fc.assert(
      fc.property(fc.oneof(leaf(1, 1600), leaf(512, 1600)), ({ granule: from, target, granules }) => {
        const pages = new PageTable(new PageTableFormat(2 ** 36, sizes));
        inTask(() => pages.map(from, target, granules, PROT));
        expect(leavesOf(pages, 0, 2 ** 36 - 1)).toEqual(greedy({ granule: from, target, granules }, sizes));
      }),
      { numRuns: 100 },
    );
  },
);

test.each<[what: string, sizes: number[], leaf: Leaf, leaves: number[]]>([
  ['1 GiB where all is aligned', SIZES, { granule: 262144, target: 524288, granules: 262144 }, [262144]],
  ['2 MiB where only the target is less aligned', SIZES, { granule: 262144, target: 512, granules: 1024 }, [512, 512]],
  ['4 KiB where the target is not congruent', SIZES, { granule: 512, target: 1, granules: 3 }, [1, 1, 1]],
  ['up to the boundary, large, and the rest', SIZES, { granule: 510, target: 1022, granules: 516 }, [1, 1, 512, 1, 1]],
  ['8 and 16 KiB where they exist', POWERS, { granule: 6, target: 14, granules: 9 }, [2, 4, 2, 1]],
  ['no 2 MiB where the hardware has none', [1], { granule: 512, target: 512, granules: 512 }, new Array(512).fill(1)],
])('map takes leaves of %s', (_, sizes, leaf, leaves) => {
  const pages = table(sizes);
  inTask(() => pages.map(leaf.granule, leaf.target, leaf.granules, PROT));
  expect(leavesOf(pages).map(({ granules }) => granules)).toEqual(leaves);
});

type Op = { readonly at: number; readonly target: number; readonly granules: number } | { readonly drop: number };

test.each(FORMATS)('a table of %s maps, finds and walks as a plain map of granules does', (_, sizes) => {
  const op: fc.Arbitrary<Op> = fc.oneof(
    fc.record({ at: granule, target: granule, granules: fc.integer({ min: 1, max: 1100 }) }),
    fc.record({ drop: fc.nat(9) }),
  );
  fc.assert(
    fc.property(fc.array(op, { maxLength: 14 }), (ops) => inTask(() => compareWithNaive(ops, sizes))),
    { numRuns: 80 },
  );
});

function compareWithNaive(ops: readonly Op[], sizes: readonly number[]): void {
  const pages = table(sizes);
  const naive = new Map<number, number>();
  let mapped: Leaf[] = [];
  for (const op of ops) {
    if ('drop' in op) {
      const victim = mapped[op.drop % Math.max(1, mapped.length)];
      if (victim === undefined) continue;
      mapped = mapped.filter((each) => each !== victim);
      for (let i = 0; i < victim.granules; i++) naive.delete(victim.granule + i);
      expect(pages.unmap(victim.granule, victim.granules)).toBe(victim.granules);
    } else {
      const { at, target, granules } = op;
      if (mapped.some((m) => m.granule < at + granules && at < m.granule + m.granules)) continue;
      expect(pages.map(at, target, granules, PROT)).toBe(undefined);
      mapped.push({ granule: at, target, granules });
      for (let i = 0; i < granules; i++) naive.set(at + i, target + i);
    }
    const walked = leavesOf(pages).flatMap((leaf) =>
      Array.from({ length: leaf.granules }, (_, i): [number, number] => [leaf.granule + i, leaf.target + i]),
    );
    expect(walked).toEqual([...naive].toSorted(([a], [b]) => a - b));
    for (const { granule: at, granules } of mapped) {
      for (const probe of [at - 1, at, at + granules - 1, at + granules]) {
        const found = pages.lookup(Math.max(0, probe));
        expect(found === 0 ? undefined : (found - PROT) / 64).toBe(naive.get(Math.max(0, probe)));
      }
    }
  }
  expect(pages.empty).toBe(naive.size === 0);
}

describe('walk', () => {
  const pages = table([...SIZES, 4].toSorted((a, b) => a - b));
  inTask(() => {
    pages.map(2048, 8192, 4, PROT);
    pages.map(1024, 4096, 512, PROT);
    pages.map(1536, 7, 2, PROT);
  });

  test.each<[first: number, last: number, found: [number, number, number][]]>([
    [0, 1023, []],
    [1024, 1024, [[1024, 4096, 1]]],
    [
      1030,
      1537,
      [
        [1030, 4102, 506],
        [1536, 7, 1],
        [1537, 8, 1],
      ],
    ],
    [1537, 2047, [[1537, 8, 1]]],
    [1538, 2047, []],
    // A leaf of four entries, from its second entry to its third.
    [2049, 2050, [[2049, 8193, 2]]],
  ])('clips large leaves to [%i, %i]', (first, last, found) => {
    expect(leavesOf(pages, first, last)).toEqual(
      found.map(([at, target, granules]) => ({ granule: at, target, granules })),
    );
  });
});

test('a table of one level maps, unmaps and is empty again', () => {
  const pages = table([1], 512);
  inTask(() => pages.map(3, 8, 4, PROT));
  expect([pages.lookup(3), pages.lookup(7), pages.empty]).toEqual([8 * 64 + PROT, 0, false]);
  expect([pages.unmap(3, 4), pages.empty]).toEqual([4, true]);
  pages.destroy();
});

test.each<[what: string, mapped: Leaf, again: Leaf]>([
  ['a small page', { granule: 5, target: 0, granules: 1 }, { granule: 4, target: 0, granules: 2 }],
  ['a page of four entries', { granule: 4, target: 4, granules: 4 }, { granule: 6, target: 0, granules: 1 }],
  [
    'a large page, by a small one',
    { granule: 512, target: 512, granules: 512 },
    { granule: 600, target: 0, granules: 1 },
  ],
  [
    'a large page, by a large one',
    { granule: 512, target: 512, granules: 512 },
    { granule: 512, target: 0, granules: 512 },
  ],
  [
    'a table of small pages, by a large one',
    { granule: 600, target: 0, granules: 1 },
    { granule: 512, target: 0, granules: 512 },
  ],
])('map splats over %s', (_, mapped, again) => {
  const pages = table([1, 4, ...SIZES.slice(1)]);
  inTask(() => pages.map(mapped.granule, mapped.target, mapped.granules, PROT));
  const over = (): unknown => inTask(() => pages.map(again.granule, again.target, again.granules, PROT));
  expect(splatOf(over)).toMatch(/^map over a mapping: /);
});

test.each<[what: string, mapped: Leaf[], granule: number, count: number, cleared: number]>([
  ['nothing, where nothing is mapped', [], 7, 3, 0],
  ['nothing, in a table that has other pages', [{ granule: 9, target: 0, granules: 1 }], 7, 3, 0],
  ['what comes before a hole', [{ granule: 510, target: 1, granules: 4 }], 510, 9, 4],
  ['no part of a large page at its end', [{ granule: 512, target: 512, granules: 512 }], 512, 511, 0],
  ['no part of a large page at its start', [{ granule: 512, target: 512, granules: 512 }], 513, 511, 0],
  ['small pages, but no part of the large one behind', [{ granule: 510, target: 1022, granules: 514 }], 510, 500, 2],
  ['across tables', [{ granule: 500, target: 1, granules: 1000 }], 500, 1000, 1000],
  ['no part of a page of four entries at its end', [{ granule: 8, target: 4, granules: 4 }], 8, 3, 0],
  ['no part of a page of four entries at its start', [{ granule: 8, target: 4, granules: 4 }], 10, 2, 0],
  ['pages of one, two and four entries', [{ granule: 1, target: 1, granules: 7 }], 1, 7, 7],
  ['what comes before a page of four entries', [{ granule: 1, target: 1, granules: 7 }], 1, 5, 3],
])('unmap clears %s, and says how much', (_, mapped, from, length, cleared) => {
  const pages = table([1, 2, 4, ...SIZES.slice(1)]);
  inTask(() => {
    for (const leaf of mapped) pages.map(leaf.granule, leaf.target, leaf.granules, PROT);
  });
  const before = leavesOf(pages).reduce((sum, leaf) => sum + leaf.granules, 0);
  expect(pages.unmap(from, length)).toBe(cleared);
  expect(leavesOf(pages).reduce((sum, leaf) => sum + leaf.granules, 0)).toBe(before - cleared);
});

describe('ENOMEM', () => {
  // Across a boundary of each level, so that every table on the way can be the missing one.
  const wanted: Leaf = { granule: 262144 - 700, target: 3, granules: 1500 };
  const neighbour: Leaf = { granule: 262144 + 900, target: 9000, granules: 20 };

  test.each<[beside: string, there: Leaf[], tables: number]>([
    ['an empty table', [], 6],
    ['a neighbour, whose tables it shares', [neighbour], 4],
  ])('at any allocation leaves nothing of the map behind, beside %s', (_, there, tables) => {
    const kernel = new Kernel();
    const pages = table();
    inTask(() => {
      for (const leaf of there) pages.map(leaf.granule, leaf.target, leaf.granules, PROT);
    });
    const before = leavesOf(pages);
    const map = (): unknown => inTask(() => pages.map(wanted.granule, wanted.target, wanted.granules, PROT), kernel);
    const sites = sweep(kernel, map, (answer) => {
      expect(answer).toBe('ENOMEM');
      expect(leavesOf(pages)).toEqual(before);
      expect(pages.empty).toBe(there.length === 0);
    });
    // Had a failed call left a table behind, the later ones would allocate fewer.
    expect(sites).toEqual(new Array(tables).fill('iommu_alloc_pages'));
    expect(leavesOf(pages).length).toBe(before.length + wanted.granules);
  });

  test('unmap gives tables back: the same map needs as many again', () => {
    const kernel = new Kernel();
    const pages = table();
    const tablesFor = (): number => {
      kernel.faults.arm(Number.MAX_SAFE_INTEGER);
      inTask(() => pages.map(wanted.granule, wanted.target, wanted.granules, PROT), kernel);
      return kernel.faults.passed.length;
    };
    const first = tablesFor();
    pages.unmap(wanted.granule, wanted.granules);
    expect(pages.empty).toBe(true);
    expect([first, tablesFor()]).toEqual([6, 6]);
  });
});
