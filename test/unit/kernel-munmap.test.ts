/**
 * munmap of ranges: over several mappings and holes, of the head, the middle and the tail of one, and through huge
 * leaves.
 *
 * Source: vfio-dmabuf 6.9, 6.11
 */
import { describe, expect, test } from 'vitest';
import { unmapMappingRange } from '../../impl/kernel/address-space.ts';
import type { Errno } from '../../impl/kernel/errno.ts';
import type { File } from '../../impl/kernel/file.ts';
import { USER_PAGES } from '../../impl/kernel/mm.ts';
import { munmap } from '../../impl/kernel/munmap.ts';
import { fromBigint } from '../../impl/kernel/units.ts';
import { sweep } from './kernel-rig.ts';
import { MmRig } from './mm-rig.ts';

const GIB = 2 ** 18;
const MIB2 = 2 ** 9;

/** Pages 2 to 9 of a file, all touched, in a process. */
function eight(of: 'device' | 'memfd' = 'device') {
  const rig = new MmRig();
  const file: File = of === 'device' ? rig.deviceFile : rig.memfdFile;
  const { startPage } = rig.mapped(file, 8, 2);
  const touchAll = (): (number | string)[] => Array.from({ length: 8 }, (_, i) => rig.touch(startPage + i));
  touchAll();
  return { rig, file, startPage, touchAll };
}

describe('munmap is EINVAL, and nothing is unmapped,', () => {
  test.each<[what: string, start: bigint, length: bigint]>([
    ['at an address inside of a page', 0x7000_0000_0001n, 0x1000n],
    ['of no length', 0x7000_0000_0000n, 0n],
    ['of more than the address space', 0x7000_0000_0000n, 2n ** 47n],
    ['across its end', 2n ** 47n - 0x1000n, 0x1001n],
    ['of 2^64 bytes less one', 0n, 2n ** 64n - 1n],
    ['behind its end', 2n ** 64n - 0x1000n, 0x1000n],
  ])('%s', (_, start, length) => {
    const { rig, startPage } = eight();
    expect(rig.call(munmap(rig.mm, fromBigint(start), fromBigint(length)))).toBe('EINVAL');
    expect([rig.vmas(startPage), rig.leaves(startPage).length, rig.mm.mmapLock.locked]).toEqual([
      [[0, 8, 2]],
      8,
      false,
    ]);
  });

  test('but not up to its very end, or of nothing that is mapped', () => {
    const { rig, startPage } = eight();
    expect([rig.munmap(USER_PAGES - 1, 1), rig.munmap(0, 5), rig.munmap(startPage + 8, 9)]).toEqual(
      Array(3).fill(undefined),
    );
    expect(rig.vmas(startPage)).toEqual([[0, 8, 2]]);
  });
});

describe.each(['device', 'memfd'] as const)('munmap of a part of a mapping of a %s leaves', (of) => {
  test.each<[what: string, from: number, pages: number, left: readonly (readonly [number, number, number])[]]>([
    ['the tail when the head goes', 0, 3, [[3, 5, 5]]],
    ['the head when the tail goes', 5, 3, [[0, 5, 2]]],
    ['the head when what is behind it goes, too', 5, 30, [[0, 5, 2]]],
    ['the tail when what is before it goes, too', -30, 33, [[3, 5, 5]]],
    [
      'head and tail when the middle goes',
      3,
      2,
      [
        [0, 3, 2],
        [5, 3, 7],
      ],
    ],
    [
      'one page at each end when the rest goes',
      1,
      6,
      [
        [0, 1, 2],
        [7, 1, 9],
      ],
    ],
    ['nothing when all goes', 0, 8, []],
    ['nothing when more than all goes', -9, 30, []],
  ])('%s', (_, from, pages, left) => {
    const { rig, file, startPage, touchAll } = eight(of);
    expect(rig.munmap(startPage + from, pages)).toBe(undefined);
    expect(rig.vmas(startPage)).toEqual(left);
    const kept = [0, 1, 2, 3, 4, 5, 6, 7].filter((page) => page < from || page >= from + pages);
    // What is left was not zapped, and what is gone has no entry.
    expect(rig.leaves(startPage)).toEqual(kept.map((page) => [page, 0]));
    expect(touchAll()).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((page) => (kept.includes(page) ? page + 2 : 'SIGSEGV')));
    expect([file.refs.count, rig.audit()]).toEqual([1 + left.length, []]);
  });
});

test('munmap rounds its length up to whole pages', () => {
  const { rig, startPage } = eight();
  rig.call(munmap(rig.mm, { page: startPage, byte: 0 }, { page: 1, byte: 1 }));
  expect(rig.vmas(startPage)).toEqual([[2, 6, 4]]);
});

test('munmap over several mappings and the holes between them cuts the first and the last', () => {
  const rig = new MmRig();
  const [a, b, c] = [rig.mapped(rig.deviceFile, 4), rig.mapped(rig.memfdFile, 4, 1), rig.mapped(rig.deviceFile, 4, 8)];
  const starts = [a, b, c].map(({ startPage }) => startPage) as [number, number, number];
  for (const start of starts) for (let page = 0; page < 4; page++) rig.touch(start + page);
  expect(rig.munmap(starts[0] + 3, starts[2] + 1 - (starts[0] + 3))).toBe(undefined);
  expect(rig.vmas(0)).toEqual([
    [starts[0], 3, 0],
    [starts[2] + 1, 3, 9],
  ]);
  expect([rig.deviceFile.refs.count, rig.memfdFile.refs.count, rig.audit()]).toEqual([3, 1, []]);
  expect(rig.leaves(0).length).toBe(6);
});

test('munmap releases a file with the last part of its last mapping, and not before', () => {
  const { rig, file, startPage } = eight();
  rig.call(
    (function* () {
      file.put();
    })(),
  );
  for (const page of [3, 0, 7, 1, 2, 4, 5]) rig.munmap(startPage + page, 1);
  expect([rig.released, rig.vmas(startPage)]).toEqual([[], [[6, 1, 8]]]);
  rig.munmap(startPage + 6, 1);
  expect([rig.released, rig.mm.vmas]).toEqual([['device'], []]);
});

test('munmap of part of anonymous memory leaves the rest what it was', () => {
  const rig = new MmRig();
  rig.mm.mapAnonymous('m', fromBigint(0x5000n));
  const { startPage, backing } = rig.mm.vmas[0] as (typeof rig.mm.vmas)[number];
  rig.munmap(startPage + 1, 2);
  const at = (page: number): unknown => rig.mm.ramAt(startPage + page);
  expect([at(0), at(1), at(2)]).toEqual([{ backing, index: 0, pages: 1 }, undefined, undefined]);
  expect([at(3), rig.audit()]).toEqual([{ backing, index: 3, pages: 2 }, []]);
});

test('unmap_mapping_range finds each part of a mapping at its pages of the file', () => {
  const { rig, startPage } = eight();
  rig.munmap(startPage + 3, 2);
  rig.call(unmapMappingRange(rig.device.mapping, 4, 7));
  expect(rig.leaves(startPage)).toEqual([
    [0, 0],
    [1, 0],
    [6, 0],
    [7, 0],
  ]);
  rig.call(unmapMappingRange(rig.device.mapping, 9, 9));
  expect(rig.leaves(startPage)).toEqual([
    [0, 0],
    [1, 0],
    [6, 0],
  ]);
});

describe('a huge leaf', () => {
  /** 1 GiB less one page, or 4 MiB, mapped and touched at its first page. */
  function huge(pages: number) {
    const rig = new MmRig();
    const { startPage } = rig.mapped(rig.deviceFile, pages);
    rig.touch(startPage);
    return { rig, startPage };
  }

  test.each<[what: string, pages: number, from: number, many: number, leaves: readonly (readonly [number, number])[]]>([
    ['across the cut is gone, though the rest was not asked for', 2 * MIB2, MIB2 - 1, 1, []],
    ['that ends at the cut stays', 2 * MIB2, MIB2, 5, [[0, 9]]],
    ['before a cut of one page stays', 2 * MIB2, 2 * MIB2 - 1, 1, [[0, 9]]],
    ['of which the first page goes is gone', 2 * MIB2, 0, 1, []],
    ['of a gigabyte is gone for a single page', 2 * GIB, GIB - 1, 1, []],
    ['of a gigabyte that ends at the cut stays', 2 * GIB, GIB, 1, [[0, 18]]],
  ])('%s', (_, pages, from, many, leaves) => {
    const { rig, startPage } = huge(pages);
    expect(rig.leaves(startPage)).toEqual([[0, pages >= GIB ? 18 : 9]]);
    rig.munmap(startPage + from, many);
    expect([rig.leaves(startPage), rig.audit()]).toEqual([leaves, []]);
  });

  test.each(['vm_area_dup', 'mas_store_gfp'])('is cut although %s fails then, and comes back in pieces', (site) => {
    const { rig, startPage } = huge(2 * MIB2);
    rig.kernel.faults.arm(site === 'vm_area_dup' ? 2 : 1, site);
    expect([rig.munmap(startPage + 5, 1), rig.leaves(startPage)]).toEqual(['ENOMEM', []]);
    rig.kernel.faults.disarm();
    expect([4, 5, 6].map((page) => rig.touch(startPage + page))).toEqual([4, 5, 6]);
    expect(rig.audit()).toEqual([]);
  });

  test('that was cut comes back in the largest pieces that fit, each at its place', () => {
    const { rig, startPage } = huge(2 * GIB);
    rig.munmap(startPage + 3 * MIB2 + 7, 1);
    const at = [0, 3 * MIB2 + 6, 3 * MIB2 + 7, 3 * MIB2 + 8, 4 * MIB2, GIB - 1, GIB + 3];
    const [gone] = at.splice(2, 1) as [number];
    expect(at.map((page) => rig.touch(startPage + page))).toEqual(at);
    expect(rig.touch(startPage + gone)).toBe('SIGSEGV');
    expect(rig.leaves(startPage)).toEqual([
      [0, 9],
      [3 * MIB2 + 6, 0],
      [3 * MIB2 + 8, 0],
      [4 * MIB2, 9],
      [GIB - MIB2, 9],
      [GIB, 18],
    ]);
    expect(rig.audit()).toEqual([]);
  });
});

test('tables stay while a neighbour may need them, and go with the last', () => {
  const rig = new MmRig();
  const { startPage } = rig.mapped(rig.deviceFile, MIB2);
  rig.munmap(startPage + 5, 1);
  rig.touch(startPage);
  rig.touch(startPage + 6);
  expect(rig.mm.pageTable.tables.length).toBe(2);
  rig.call(unmapMappingRange(rig.device.mapping, 0, MIB2));
  rig.munmap(startPage, 5);
  expect(rig.mm.pageTable.tables.length).toBe(2);
  rig.munmap(startPage + 6, MIB2);
  expect(rig.mm.pageTable.tables.length).toBe(0);
});

describe('a munmap that runs out of memory', () => {
  const CASES: readonly [what: string, from: number, pages: number, sites: readonly string[]][] = [
    ['of a whole mapping', 0, 8, ['mas_store_gfp']],
    ['of the head', 0, 3, ['vm_area_dup', 'vma_iter_prealloc', 'mas_store_gfp']],
    ['of the middle', 3, 2, ['vm_area_dup', 'vma_iter_prealloc', 'vm_area_dup', 'vma_iter_prealloc', 'mas_store_gfp']],
  ];
  test.each(CASES)('%s is ENOMEM, and every page is what it was', (_, from, pages, expected) => {
    let it = eight();
    const check = (answer: unknown): void => {
      expect(answer).toBe('ENOMEM' satisfies Errno);
      expect(it.rig.leaves(it.startPage)).toHaveLength(8);
      expect([it.touchAll(), it.rig.audit()]).toEqual([[2, 3, 4, 5, 6, 7, 8, 9], []]);
      expect([it.rig.munmap(it.startPage - 9, 30), it.file.refs.count, it.rig.audit()]).toEqual([undefined, 1, []]);
    };
    for (let nth = 1; nth <= expected.length; nth++) {
      it = eight();
      it.rig.kernel.faults.arm(nth);
      const answer = it.rig.munmap(it.startPage + from, pages);
      expect(it.rig.kernel.faults.passed).toEqual(expected.slice(0, nth));
      it.rig.kernel.faults.disarm();
      check(answer);
    }
    it = eight();
    expect(sweep(it.rig.kernel, () => it.rig.munmap(it.startPage + 99, 1), check)).toEqual([]);
  });
});
