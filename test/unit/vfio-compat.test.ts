/**
 * A VFIO container on top of an iommufd, by its ioctls.
 *
 * Source: iommufd 2.14, 6.2 (T-05 to T-11), 6.4 (T-61 to T-65), G-10, I-84
 */
import { describe, expect, test } from 'vitest';
import { IOMMU_VFIO_IOAS } from '../../impl/uapi/iommufd-structs.ts';
import * as vfio from '../../impl/uapi/vfio-structs.ts';
import { CLEAR, Container, GET, SET, TYPE1, TYPE1V2 } from './container-rig.ts';
import { A } from './iommufd-rig.ts';
import { n, RawRig } from './raw-rig.ts';

const { DMA_MAP, DMA_UNMAP, IOMMU_TYPE1_INFO } = vfio;

describe('without a compat IOAS', () => {
  const rig = new RawRig();
  const call = (
    number: number,
    layout: typeof DMA_MAP | typeof DMA_UNMAP | typeof IOMMU_TYPE1_INFO,
    how: object,
    values = {},
  ) => rig.raw(number, layout as typeof DMA_MAP, values, how).answer;
  test.each<[string, () => unknown, unknown]>([
    ['GET_API_VERSION', () => rig.value(vfio.VFIO_GET_API_VERSION, 0n), 0],
    ['SET_IOMMU of the second version', () => rig.value(vfio.VFIO_SET_IOMMU, 3n), 'ENODEV'],
    ['SET_IOMMU of the first', () => rig.value(vfio.VFIO_SET_IOMMU, 1n), 'ENODEV'],
    ['SET_IOMMU of no version', () => rig.value(vfio.VFIO_SET_IOMMU, 2n), 'EINVAL'],
    ['SET_IOMMU of a number that only ends like a version', () => rig.value(vfio.VFIO_SET_IOMMU, 0x1003n), 'EINVAL'],
    ['UNMAP_DMA too small', () => call(0x3b72, DMA_UNMAP, { size: 1 }), 'EINVAL'],
    ['UNMAP_DMA with an unknown flag', () => call(0x3b72, DMA_UNMAP, {}, { flags: 2 ** 31 }), 'EINVAL'],
    ['UNMAP_DMA', () => call(0x3b72, DMA_UNMAP, {}), 'ENODEV'],
    ['UNMAP_DMA that is not there', () => call(0x3b72, DMA_UNMAP, { bytes: 23 }), 'EFAULT'],
    ['MAP_DMA too small', () => call(0x3b71, DMA_MAP, { size: 1 }), 'EINVAL'],
    ['MAP_DMA with an unknown flag', () => call(0x3b71, DMA_MAP, {}, { flags: 2 ** 31 }), 'EINVAL'],
    ['MAP_DMA', () => call(0x3b71, DMA_MAP, {}, { flags: 3 }), 'ENODEV'],
    ['MAP_DMA that is not there', () => call(0x3b71, DMA_MAP, { bytes: 31 }), 'EFAULT'],
    ['GET_INFO too small', () => call(0x3b70, IOMMU_TYPE1_INFO, { size: 15 }), 'EINVAL'],
    ['GET_INFO', () => call(0x3b70, IOMMU_TYPE1_INFO, {}), 'ENODEV'],
    ['GET_INFO that is not there', () => call(0x3b70, IOMMU_TYPE1_INFO, { bytes: 15 }), 'EFAULT'],
    ['GET of the compat IOAS', () => rig.raw(0x3b88, IOMMU_VFIO_IOAS, { op: GET }).answer, 'ENODEV'],
    ['SET of what is not there', () => rig.raw(0x3b88, IOMMU_VFIO_IOAS, { op: SET }).answer, 'ENOENT'],
    ['SET of a device', () => rig.raw(0x3b88, IOMMU_VFIO_IOAS, { op: SET, ioas_id: rig.devId() }).answer, 'ENOENT'],
  ])('%s', (_, made, answer) => {
    expect(made()).toBe(answer);
  });

  test.each([
    [1n, 1],
    [3n, 1],
    [9n, 1],
    [8n, 0],
    [10n, 0],
    [0n, 0],
    [0x1001n, 0],
    [4n, 'ENODEV'],
  ])('CHECK_EXTENSION of %i', (extension, answer) => {
    expect(rig.value(vfio.VFIO_CHECK_EXTENSION, extension)).toBe(answer);
  });
});

describe('the compat IOAS', () => {
  test('is set, told, cleared, and set again', () => {
    const it = new Container();
    it.must({ do: 'ioas_alloc', ctx: 'ctx', as: 'other' });
    expect(it.compat(GET)).toMatchObject({ answer: 0, out: { ioas_id: it.id() } });
    expect(it.compat(SET, it.id('other')).answer).toBe(0);
    expect(it.compat(GET).out.ioas_id).toBe(it.id('other'));
    expect([it.compat(CLEAR).answer, it.compat(GET).answer, it.compat(CLEAR).answer]).toEqual([0, 'ENODEV', 0]);
    expect([it.compat(3).answer, it.compat(GET, 0, { __reserved: 1 }).answer]).toEqual(['EOPNOTSUPP', 'EOPNOTSUPP']);
  });

  test('is no more when it is destroyed, and another that has its number is not it', () => {
    const it = new Container(TYPE1V2, { domain: false });
    it.must({ do: 'destroy', obj: 'ioas' }, { do: 'ioas_alloc', ctx: 'ctx', as: 'ioas' });
    expect([it.compat(GET).answer, it.mapDma(A, 0x1000n)]).toEqual(['ENODEV', 'ENODEV']);
    it.expectAtRest();
  });

  test('enforces coherency, as all domains do', () => {
    expect(new Container().value(vfio.VFIO_CHECK_EXTENSION, 4n)).toBe(1);
  });

  test('of the first version has small pages, of the second large ones', () => {
    expect([TYPE1, TYPE1V2].map((version) => new Container(version).ioas().iopt.disableLargePages)).toEqual([
      true,
      false,
    ]);
  });

  test('cannot become one of the first version while a domain maps something', () => {
    const it = new Container();
    it.mapDma(A, 0x1000n);
    expect(it.value(vfio.VFIO_SET_IOMMU, TYPE1)).toBe('EINVAL');
    it.expectAtRest();
  });
});

describe('MAP_DMA', () => {
  test('maps at its IOVA, with the protection of its flags', () => {
    const it = new Container();
    expect([it.mapDma(A, 0x1000n, { flags: 1 }), it.mapDma(A + 0x1000n, 0x1000n, { flags: 2 })]).toEqual([0, 0]);
    expect(it.reach('dev0')).toEqual(['0x1000000 -> m+0x0 0x1000 R+CACHE', '0x1001000 -> m+0x0 0x1000 W+CACHE']);
  });

  test.each<[string, bigint, bigint, object, string]>([
    ['of nothing', A, 0n, {}, 'EINVAL'],
    ['of everything', A, 2n ** 64n - 1n, {}, 'EOVERFLOW'],
    ['of everything from nowhere', A, 2n ** 64n - 1n, { vaddr: n(0n) }, 'EINVAL'],
    ['off a page', A + 1n, 0x1000n, {}, 'EINVAL'],
    ['at the end of all addresses', 2n ** 64n - 0x1000n, 0x2000n, {}, 'EOVERFLOW'],
    ['where something is reserved', 0xfee0_0000n, 0x1000n, {}, 'EINVAL'],
    ['where something is mapped', A + 0x8000n, 0x1000n, {}, 'EEXIST'],
    ['of memory that is not there', A, 0x1000n, { vaddr: n(0x1000n) }, 'EFAULT'],
  ])('%s is refused', (_, iova, size, more, answer) => {
    const it = new Container();
    it.mapDma(A + 0x8000n, 0x1000n);
    const before = it.state(['dev0']);
    expect(it.mapDma(iova, size, more)).toBe(answer);
    expect(it.state(['dev0'])).toEqual(before);
  });

  test('that permits nothing is refused by a domain, accepted without one, and then keeps every domain away', () => {
    const it = new Container();
    const before = it.state(['dev0']);
    expect(it.mapDma(A, 0x1000n, { flags: 0 })).toBe('EINVAL');
    expect(it.state(['dev0'])).toEqual(before);
    const without = new Container(TYPE1V2, { domain: false });
    expect([without.mapDma(A, 0x1000n, { flags: 0 }), without.attach()]).toEqual([0, { err: 'EINVAL' }]);
    expect([without.unmapDma(A, 0x1000n), without.attach()]).toEqual([[0, 0x1000n], { ok: {} }]);
    without.expectAtRest();
  });

  test('writes nothing back, so its structure may be read-only', () => {
    expect(new Container().mapDma(A, 0x1000n, {}, { readOnly: true })).toBe(0);
  });
});

describe('UNMAP_DMA', () => {
  const B = 0x10000n;

  test.each([TYPE1, TYPE1V2])('version %i: says how much it has removed, which may be nothing', (version) => {
    const it = new Container(version);
    it.mapDma(A, B);
    expect([it.unmapDma(A, B), it.unmapDma(A, B)]).toEqual([
      [0, B],
      [0, 0n],
    ]);
    it.mapDma(A, B);
    expect(it.unmapDma(A, 0n, 2)).toEqual(['EINVAL', 0n]);
    expect(it.unmapDma(0n, B, 2)).toEqual(['EINVAL', B]);
    expect([it.unmapDma(0n, 0n, 2), it.unmapDma(0n, 0n, 2)]).toEqual([
      [0, B],
      [0, 0n],
    ]);
    expect(it.pinned()).toEqual({});
    it.expectAtRest();
  });

  test('version 1: takes sixteenths of two huge pages away one by one; version 2 gives up none', () => {
    const H = 0x20_0000n;
    for (const [version, expected] of [
      [TYPE1, [0, H / 8n]],
      [TYPE1V2, ['ENOENT', 0n]],
    ] as const) {
      const it = new Container(version);
      it.must({ do: 'mem_alloc', as: 'big', length: 2n * H });
      const named = it.machine.names.get('big');
      it.mapDma(A, 2n * H, { vaddr: named?.kind === 'mem' ? named.address : n(0n) });
      for (const sixteenth of [3n, 0n, 15n, 7n, 8n, 1n, 14n, 2n, 5n, 4n, 6n, 13n, 9n, 10n, 12n, 11n]) {
        expect(it.unmapDma(A + (sixteenth * H) / 8n, H / 8n)).toEqual(expected);
      }
      expect(Object.keys(it.pinned())).toEqual(version === TYPE1 ? [] : ['big']);
      it.expectAtRest();
    }
  });

  test.each<[string, bigint, bigint, [string, bigint]]>([
    ['of no length', A, 0n, ['EINVAL', 0n]],
    ['beyond the end of all addresses', A, 2n ** 64n - 1n, ['EOVERFLOW', 0n]],
  ])('version 2: %s writes that nothing was removed', (_, iova, size, expected) => {
    expect(new Container().unmapDma(iova, size)).toEqual(expected);
  });

  test('says how much it has removed before it came upon an area that sticks out', () => {
    const it = new Container();
    it.mapDma(A, 0x2000n);
    it.mapDma(A + 0x4000n, 0x4000n);
    expect(it.unmapDma(A, 0x5000n)).toEqual(['ENOENT', 0x2000n]);
    expect(it.reach('dev0')).toEqual(['0x1004000 -> m+0x0 0x4000 RW+CACHE']);
  });

  test('version 1: does not cut a dma-buf, says nothing of what it removed, and unmaps it whole', () => {
    const it = new Container(TYPE1);
    it.mapFile();
    it.calls();
    expect(it.unmapDma(A, 0x1000n)).toEqual(['EOPNOTSUPP', 0x1000n]);
    expect([it.calls(), it.ioas().iopt.areas.size]).toEqual([[], 1]);
    expect(it.unmapDma(A, 0x4000n)).toEqual([0, 0x4000n]);
    it.expectAtRest();
  });

  test('version 1: a cut that is refused at the start leaves the one at the end, which nothing shows', () => {
    const it = new Container(TYPE1);
    it.mapFile();
    it.mapDma(A + 0x4000n, 0x4000n);
    const reach = it.reach('dev0');
    expect(it.unmapDma(A + 0x2000n, 0x4000n)).toEqual(['EOPNOTSUPP', 0x4000n]);
    expect([it.reach('dev0'), it.ioas().iopt.areas.size]).toEqual([reach, 3]);
    it.expectAtRest();
  });

  test('version 1: cuts at the end and the start of a range that then is refused', () => {
    const it = new Container(TYPE1);
    it.mapDma(A, 0x4000n);
    expect(it.unmapDma(A + 0x1000n, 0n)).toEqual(['EINVAL', 0n]);
    expect(it.ioas().iopt.areas.size).toBe(2);
    expect(it.unmapDma(A + 0x2000n, 2n ** 64n - A)).toEqual(['EOVERFLOW', 0n]);
    expect(it.ioas().iopt.areas.size).toBe(3);
    expect(it.unmapDma(0n, 0n)).toEqual(['EINVAL', 0n]);
    expect(it.unmapDma(A + 0x800n, 0x1000n)).toEqual(['EINVAL', 0x1000n]);
    it.expectAtRest();
  });

  test('that cannot say how much it has removed has removed it', () => {
    const it = new Container();
    it.mapDma(A, 0x1000n);
    expect(it.unmapDma(A, 0x1000n, 0, { readOnly: true })).toEqual(['EFAULT', 0x1000n]);
    expect(it.ioas().iopt.areas.size).toBe(0);
  });
});
