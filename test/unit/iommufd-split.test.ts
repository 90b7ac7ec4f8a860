/**
 * Cutting an area in two, for a VFIO container of the first version: when it is refused, what is left of a refused
 * one, and that nothing of it shows in a domain.
 *
 * Source: iommufd 2.14, 5 ("split"), I-25, H-10
 */
import { describe, expect, test } from 'vitest';
import { cutIova } from '../../impl/iommufd/area-split.ts';
import { disableLargePages, enableLargePages } from '../../impl/iommufd/large-pages.ts';
import type { Errno } from '../../impl/kernel/errno.ts';
import { fromBigint, toBigint, u64 } from '../../impl/kernel/units.ts';
import { A, MOCK, Rig } from './iommufd-rig.ts';
import { sweep } from './kernel-rig.ts';

const LENGTH = 0x8000n;

/** An IOAS with small pages and 8 pages of memory at A, in a domain if `domain` says so. */
function scene({ domain = true, small = true, config = undefined as typeof MOCK | undefined } = {}): Rig {
  const rig = new Rig(config);
  if (small) expect(rig.call(disableLargePages(rig.ioas().iopt))).toBeUndefined();
  if (domain) rig.must({ do: 'vfio_attach', dev: 'dev0', pt: 'ioas' });
  rig.must({ do: 'mem_alloc', as: 'm', length: 0x10000n });
  rig.map('m', LENGTH, { iova: A, offset: 0x2000n });
  rig.calls();
  return rig;
}

const cut = (rig: Rig, ...at: bigint[]): Errno | undefined => rig.call(cutIova(rig.ioas().iopt, at.map(fromBigint)));

const areas = (rig: Rig): [bigint, bigint][] =>
  rig
    .ioas()
    .iopt.areas.all()
    .map(({ iova, length }) => [toBigint(iova) - A, toBigint(length)]);

describe('a cut', () => {
  test.each([true, false])('makes two areas on the same pages, with a domain: %s', (domain) => {
    const rig = scene({ domain });
    const before = domain && rig.reach('dev0');
    expect(cut(rig, A + 0x2fffn)).toBeUndefined();
    expect(areas(rig)).toEqual([
      [0n, 0x3000n],
      [0x3000n, 0x5000n],
    ]);
    const [left, right] = rig.ioas().iopt.areas.all();
    expect([left?.pages, left?.pages?.kref.count]).toEqual([right?.pages, 2]);
    expect([left?.prot, left?.index, right?.prot, right?.index]).toEqual([3, 0, 3, 3]);
    // Both are found by their pages if the one was.
    const stored = left?.pages?.domainsItree.overlapping(u64(0, 0), u64(7, 0)) ?? [];
    expect(stored.map(({ area }) => area)).toEqual(domain ? [left, right] : []);
    expect([rig.calls(), domain && rig.reach('dev0')]).toEqual([[], before]);
    rig.expectAtRest();
  });

  test('leaves pages that go one half after the other', () => {
    const rig = scene();
    cut(rig, A + 0xfffn, A + 0x4fffn);
    expect(areas(rig)).toEqual([
      [0n, 0x1000n],
      [0x1000n, 0x4000n],
      [0x5000n, 0x3000n],
    ]);
    expect(rig.unmap(A + 0x1000n, 0x4000n)).toEqual({ ok: { length: 0x4000n } });
    expect([rig.pinned(), rig.reach('dev0')]).toEqual([
      { m: 4 },
      ['0x1000000 -> m+0x2000 0x1000 RW+CACHE', '0x1005000 -> m+0x7000 0x3000 RW+CACHE'],
    ]);
    // A second domain reads the halves back from the first.
    rig.must({ do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'h' });
    expect(rig.reach('h')).toEqual(rig.reach('dev0'));
    rig.must({ do: 'vfio_detach', dev: 'dev0' }, { do: 'destroy', obj: 'h' });
    expect(rig.pinned()).toEqual({});
    expect(rig.unmap(0n, 2n ** 64n - 1n)).toEqual({ ok: { length: 0x4000n } });
    rig.expectAtRest();
  });

  test.each([
    ['below all areas', A - 1n],
    ['above all areas', A + LENGTH],
    ['at the last byte of an area', A + LENGTH - 1n],
    ['at the first byte of an area', A],
  ])('%s cuts nothing', (_, at) => {
    const rig = scene();
    expect(cut(rig, at)).toBeUndefined();
    expect(areas(rig)).toEqual([[0n, LENGTH]]);
  });
});

describe('refused', () => {
  test('for a dma-buf, whatever the address, and whether it is in a domain or revoked', () => {
    for (const domain of [true, false]) {
      const rig = scene({ domain });
      rig.mapFile({ iova: A + 0x10000n });
      const before = rig.state(domain ? ['dev0'] : []);
      const inside = [A + 0x10fffn, A + 0x10123n, A + 0x12fffn];
      expect(inside.map((at) => cut(rig, at))).toEqual(['EOPNOTSUPP', 'EOPNOTSUPP', 'EOPNOTSUPP']);
      expect(rig.state(domain ? ['dev0'] : [])).toEqual(before);
      rig.memory(false);
      expect(cut(rig, A + 0x10fffn)).toBe('EOPNOTSUPP');
      expect([cut(rig, A + 0x10000n), cut(rig, A + 0x13fffn)]).toEqual([undefined, undefined]);
    }
  });

  test.each([A + 1n, A + 0xffen, A + 0x17ffn])('off a page: %s', (at) => {
    const rig = scene({ config: MOCK });
    expect(cut(rig, at)).toBe('EINVAL');
    expect(areas(rig)).toEqual([[0n, LENGTH]]);
  });

  test('where the IOVA would do, and the place in the pages would not', () => {
    const rig = new Rig();
    rig.must({ do: 'mem_alloc', as: 'm', length: 0x10000n });
    rig.map('m', 0x2000n, { iova: A, offset: 0x800n });
    rig.ioas().iopt.alignment = 0x1000;
    expect(cut(rig, A + 0xfffn)).toBe('EINVAL');
    rig.ioas().iopt.alignment = 0x800;
    expect(cut(rig, A + 0xfffn)).toBeUndefined();
  });

  test('in a domain that may have mapped it in large pages', () => {
    const rig = scene({ small: false });
    expect(cut(rig, A + 0xfffn)).toBe('EINVAL');
    expect(areas(rig)).toEqual([[0n, LENGTH]]);
  });

  test('of an area that is being set up', () => {
    const rig = scene({ domain: false });
    const [area] = rig.ioas().iopt.areas.all();
    if (area !== undefined) area.pages = undefined;
    expect(cut(rig, A + 0xfffn)).toBe('EBUSY');
  });

  test('for want of memory, the second of two; then the first stays cut, and nothing else has happened', () => {
    const rig = scene();
    const reach = rig.reach('dev0');
    const cuts = [[0n, LENGTH]];
    const sites = sweep(
      rig.machine.kernel,
      () => cut(rig, A + 0x4fffn, A + 0xfffn),
      (failed, site) => {
        expect([failed, areas(rig)], site).toEqual(['ENOMEM', cuts]);
        expect([rig.calls(), rig.reach('dev0')]).toEqual([[], reach]);
        rig.expectAtRest();
        cuts.splice(0, 1, [0n, 0x5000n], [0x5000n, 0x3000n]);
      },
    );
    expect(sites).toEqual(['iopt_area_split', 'iopt_area_split']);
    expect(areas(rig)).toHaveLength(3);
  });
});

describe('small pages', () => {
  test('are asked for twice, and given up again; what is mapped stays', () => {
    const rig = new Rig();
    const { iopt } = rig.ioas();
    expect([rig.call(disableLargePages(iopt)), rig.call(disableLargePages(iopt)), iopt.alignment]).toEqual([
      undefined,
      undefined,
      0x1000,
    ]);
    rig.call(enableLargePages(iopt));
    expect([iopt.disableLargePages, iopt.alignment]).toEqual([false, 1]);
  });

  test('are refused once a domain maps areas, and with an area that is no whole pages', () => {
    const rig = scene({ small: false });
    const { iopt } = rig.ioas();
    expect([rig.call(disableLargePages(iopt)), iopt.disableLargePages]).toEqual(['EINVAL', false]);
    rig.must({ do: 'vfio_detach', dev: 'dev0' });
    rig.map('m', 0x800n, { iova: 0x800n });
    expect([rig.call(disableLargePages(iopt)), iopt.disableLargePages, iopt.alignment]).toEqual([
      'EADDRINUSE',
      false,
      1,
    ]);
  });
});
