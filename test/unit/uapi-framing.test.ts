/**
 * The framing of iommufd's ioctls: number, size, pointer, in that order, and before any effect; then the fields that
 * must be zero; and what is written back.
 *
 * Source: iommufd 2.0 to 2.4, 2.11, 6.2 (T-02 to T-04), 6.3 (T-33)
 */
import { describe, expect, test } from 'vitest';
import { toBigint } from '../../impl/kernel/units.ts';
import {
  IOMMU_DESTROY,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_UNMAP,
  IOMMU_IOVA_RANGE,
} from '../../impl/uapi/iommufd-structs.ts';
import { decode } from '../../impl/uapi/layout.ts';
import { A, U64_MAX } from './iommufd-rig.ts';
import { ARRAY, n, RawRig } from './raw-rig.ts';

const DESTROY = 0x3b80;
const RANGES = 0x3b84;
const MAP = 0x3b85;
const NOWHERE = 0xdead000n;

describe('which command', () => {
  test.each([
    ['a number that this kernel has, without a structure', 0x3b80, 'EFAULT'],
    ['a number among its own that nothing has, without a structure', 0x3b8a, 'EFAULT'],
    ['the same last byte in another kind of number, without a structure', 0x1234_5680, 'EFAULT'],
    ['a number behind the last', 0x3b95, 'ENOTTY'],
    ['a number before the first, which nothing has', 0x3b7f, 'ENOTTY'],
    ['dirty pages of a container', 0x3b75, 'ENOTTY'],
    ['a number that was a container’s, which is no address', 0x3b64, 0],
  ])('%s: %s', (_, number, answer) => {
    expect(new RawRig().value(number, NOWHERE)).toBe(answer);
  });

  test.each([
    ['that nothing has', 0x3b8a],
    ['that is not carried out', 0x3b8b],
    ['of another kind', 0x1234_3b80],
  ])('a number %s, with a structure that is too small, is ENOTTY and not EINVAL', (_, number) => {
    expect(new RawRig().raw(number, IOMMU_DESTROY, {}, { size: 4 }).answer).toBe('ENOTTY');
  });

  test('a descriptor that is not open is EBADF, and a buffer knows no call', () => {
    const rig = new RawRig();
    expect([-1, 99].map((fd) => rig.value(DESTROY, NOWHERE, fd))).toEqual(['EBADF', 'EBADF']);
    expect(rig.value(DESTROY, NOWHERE, rig.fd('buf'))).toBe('ENOTTY');
  });
});

describe('DESTROY of nobody', () => {
  test.each([
    ['of the exact size', {}, 'ENOENT'],
    ['with 8 zero bytes more', { size: 16, tail: [0, 0, 0, 0, 0, 0, 0, 0] }, 'ENOENT'],
    ['with a byte more that is not zero', { size: 9, tail: [255] }, 'E2BIG'],
    ['with a byte more that is not there', { size: 9 }, 'EFAULT'],
    ['with a byte behind it that its size does not count', { tail: [255] }, 'ENOENT'],
    ['one byte too small', { size: 7 }, 'EINVAL'],
    ['of no size', { size: 0 }, 'EINVAL'],
    ['of which only the size is there', { bytes: 4 }, 'EFAULT'],
    ['of which less is there', { bytes: 3 }, 'EFAULT'],
    ['too small, of which only the size is there', { size: 4, bytes: 4 }, 'EINVAL'],
  ])('%s: %s', (_, how, answer) => {
    expect(new RawRig().raw(DESTROY, IOMMU_DESTROY, { id: 0 }, how).answer).toBe(answer);
  });
});

test('a structure that is larger, with zeros, gets its answer in the fields that there are, and keeps its tail', () => {
  const { answer, out, tail } = new RawRig().raw(0x3b81, IOMMU_IOAS_ALLOC, {}, { size: 14, tail: [0, 0] });
  expect([answer, out.size, out.out_ioas_id > 0, tail]).toEqual([0, 14, true, [0, 0]]);
});

test('HWPT_ALLOC with the least of its structure is one without data, and only that much is written back', () => {
  const rig = new RawRig();
  const values = { dev_id: rig.devId(), pt_id: rig.id() };
  const { answer, out } = rig.raw(0x3b89, IOMMU_HWPT_ALLOC, values, { size: 24, bytes: 24 });
  expect([answer, rig.ioas().hwpts[0]?.id]).toEqual([0, out.out_hwpt_id]);
});

describe('fields that must be zero', () => {
  const rig = new RawRig();
  test.each([
    ['IOAS_ALLOC, flags', () => rig.raw(0x3b81, IOMMU_IOAS_ALLOC, { flags: 1 }), 'EOPNOTSUPP'],
    ['IOVA_RANGES, reserved', () => rig.raw(RANGES, IOMMU_IOAS_IOVA_RANGES, { __reserved: 1 }), 'EOPNOTSUPP'],
    [
      'MAP, reserved, before a length that is too large',
      () => rig.raw(MAP, IOMMU_IOAS_MAP, { __reserved: 1, length: n(U64_MAX) }),
      'EOPNOTSUPP',
    ],
    [
      'MAP, an unknown flag in the highest bit',
      () => rig.raw(MAP, IOMMU_IOAS_MAP, { flags: 2 ** 31 + 6 }),
      'EOPNOTSUPP',
    ],
    ['HWPT_ALLOC, reserved', () => rig.raw(0x3b89, IOMMU_HWPT_ALLOC, { __reserved: 1 }), 'EOPNOTSUPP'],
    ['HWPT_ALLOC, no data of some length', () => rig.raw(0x3b89, IOMMU_HWPT_ALLOC, { data_len: 1 }), 'EINVAL'],
    ['HWPT_ALLOC, data of no length', () => rig.raw(0x3b89, IOMMU_HWPT_ALLOC, { data_type: 1 }), 'EINVAL'],
    [
      'HWPT_ALLOC, data for an IOAS',
      () => rig.raw(0x3b89, IOMMU_HWPT_ALLOC, { dev_id: rig.devId(), pt_id: rig.id(), data_type: 1, data_len: 8 }),
      'EOPNOTSUPP',
    ],
    [
      'HWPT_ALLOC, data for what is not there',
      () => rig.raw(0x3b89, IOMMU_HWPT_ALLOC, { dev_id: rig.devId(), pt_id: 99, data_type: 1, data_len: 8 }),
      'EINVAL',
    ],
  ])('%s: %s', (_, call, answer) => {
    const before = rig.state([]);
    expect(call().answer).toBe(answer);
    expect(rig.state([])).toEqual(before);
  });
});

describe('64-bit fields, to the last bit', () => {
  test('a mapping at the last page of all, by number', () => {
    const rig = new RawRig();
    const iova = 2n ** 64n - 0x1000n;
    const values = { flags: 7, ioas_id: rig.id(), user_va: n(0x7000_0000_0123n), length: n(0xfffn), iova: n(iova) };
    const { answer, out } = rig.raw(MAP, IOMMU_IOAS_MAP, values);
    expect([answer, toBigint(out.iova)]).toEqual([0, iova]);
    expect(toBigint(rig.ioas().iopt.areas.all()[0]?.last as never)).toBe(U64_MAX - 1n);
    expect(
      rig.raw(0x3b86, IOMMU_IOAS_UNMAP, { ioas_id: rig.id(), iova: n(iova - 1n), length: n(0x1000n) }),
    ).toMatchObject({
      answer: 0,
      out: { length: n(0xfffn) },
    });
  });

  test('a descriptor is signed, so the highest is none', () => {
    const rig = new RawRig();
    const values = { flags: 6, ioas_id: rig.id(), fd: 2 ** 32 - 1, length: n(0x1000n) };
    expect(rig.raw(0x3b8f, IOMMU_IOAS_MAP_FILE, values)).toMatchObject({ answer: 'EBADF', out: { fd: -1 } });
  });

  test('a copy names where from and where to in fields of its own', () => {
    const rig = new RawRig();
    rig.must({ do: 'ioas_alloc', ctx: 'ctx', as: 'other' });
    rig.mapFile();
    const ids = { src_ioas_id: rig.id(), dst_ioas_id: rig.id('other') };
    const values = { flags: 7, ...ids, length: n(0x1000n), src_iova: n(A + 0x1000n), dst_iova: n(0x5000n) };
    expect(rig.raw(0x3b83, IOMMU_IOAS_COPY, values)).toMatchObject({ answer: 0, out: { dst_iova: n(0x5000n) } });
    expect(
      rig
        .ioas('other')
        .iopt.areas.all()
        .map(({ iova, index }) => [toBigint(iova), index]),
    ).toEqual([[0x5000n, 1]]);
  });
});

describe('IOVA_RANGES', () => {
  const ranges = (rig: RawRig, num: number, room: number) => {
    const array = new Uint8Array(16 * room);
    const values = { ioas_id: rig.id(), num_iovas: num, allowed_iovas: ARRAY };
    const { answer, out } = rig.raw(RANGES, IOMMU_IOAS_IOVA_RANGES, values, { array });
    const found = Array.from({ length: room }, (_, i) => decode(IOMMU_IOVA_RANGE, array.subarray(16 * i)));
    return {
      answer,
      num: out.num_iovas,
      alignment: toBigint(out.out_iova_alignment),
      found: found.map(({ start, last }) => [toBigint(start), toBigint(last)]),
    };
  };
  const BELOW = [0n, 0xfedf_ffffn];
  const ABOVE = [0xfef0_0000n, 0xffff_ffff_ffffn];

  test('without a domain: all addresses, and any alignment', () => {
    expect(ranges(new RawRig(), 9, 1)).toEqual({ answer: 0, num: 1, alignment: 1n, found: [[0n, U64_MAX]] });
  });

  test.each([
    [9, { answer: 0, found: [BELOW, ABOVE, [0n, 0n]] }],
    [2, { answer: 0, found: [BELOW, ABOVE, [0n, 0n]] }],
    [1, { answer: 'EMSGSIZE', found: [BELOW, [0n, 0n], [0n, 0n]] }],
    [
      0,
      {
        answer: 'EMSGSIZE',
        found: [
          [0n, 0n],
          [0n, 0n],
          [0n, 0n],
        ],
      },
    ],
  ])('with room for %i of two, no more are written, and how many there are', (num, expected) => {
    const rig = new RawRig();
    rig.attach();
    expect(ranges(rig, num, 3)).toEqual({ num: 2, alignment: 0x1000n, ...expected });
  });

  test('an array that is not there is EFAULT, and the structure is not written; unless nobody needs it', () => {
    const rig = new RawRig();
    const call = (num_iovas: number) => rig.raw(RANGES, IOMMU_IOAS_IOVA_RANGES, { ioas_id: rig.id(), num_iovas });
    expect(call(1)).toMatchObject({ answer: 'EFAULT', out: { out_iova_alignment: n(0n) } });
    expect(call(0)).toMatchObject({ answer: 'EMSGSIZE', out: { num_iovas: 1, out_iova_alignment: n(1n) } });
  });
});
