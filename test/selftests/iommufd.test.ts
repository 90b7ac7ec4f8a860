/**
 * The kernel's selftests of the fixture `iommufd`, and of what its calls of one structure answer.
 *
 * Source: iommufd 6.2
 */
import { expect, test } from 'vitest';
import {
  IOMMU_DESTROY,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_CHANGE_PROCESS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_UNMAP,
  IOMMU_OPTION,
  IOMMU_VFIO_IOAS,
} from '../../impl/uapi/iommufd-structs.ts';
import type { Fields, Layout } from '../../impl/uapi/layout.ts';
import { DMA_MAP, DMA_UNMAP, IOMMU_TYPE1_INFO } from '../../impl/uapi/vfio-structs.ts';
import { MOCK_LANE } from '../unit/iommufd-rig.ts';
import { n, RawRig } from '../unit/raw-rig.ts';

const DESTROY = 0x3b80;
const [RLIMIT, HUGE_PAGES] = [0, 1];
const [SET, GET] = [0, 1];

/** An iommufd without any object, as the fixture opens it. */
function open(): RawRig {
  const rig = new RawRig(MOCK_LANE);
  rig.must({ do: 'destroy', obj: 'ioas' });
  return rig;
}

const option = (rig: RawRig, option_id: number, op: number, val64 = 0n) => {
  const { answer, out } = rig.raw(0x3b87, IOMMU_OPTION, { option_id, op, val64: n(val64) });
  return answer === 0 && op === GET ? out.val64 : answer;
};

test('iommufd.cmd_fail: nobody is destroyed, no structure is read at 0, and no command has number 0x7f', () => {
  const rig = open();
  expect(rig.raw(DESTROY, IOMMU_DESTROY, { id: 0 }).answer).toBe('ENOENT');
  expect(rig.value(DESTROY, 0n)).toBe('EFAULT');
  expect(rig.raw(0x3b7f, IOMMU_DESTROY, {}).answer).toBe('ENOTTY');
});

/** Those of the sixteen that this project carries out, all zeros but for the size. */
const STRUCTURES: readonly (readonly [number, Layout])[] = [
  [0x3b80, IOMMU_DESTROY],
  [0x3b81, IOMMU_IOAS_ALLOC],
  [0x3b84, IOMMU_IOAS_IOVA_RANGES],
  [0x3b82, IOMMU_IOAS_ALLOW_IOVAS],
  [0x3b85, IOMMU_IOAS_MAP],
  [0x3b8f, IOMMU_IOAS_MAP_FILE],
  [0x3b83, IOMMU_IOAS_COPY],
  [0x3b86, IOMMU_IOAS_UNMAP],
  [0x3b87, IOMMU_OPTION],
  [0x3b88, IOMMU_VFIO_IOAS],
  [0x3b89, IOMMU_HWPT_ALLOC],
  [0x3b92, IOMMU_IOAS_CHANGE_PROCESS],
].map(([number, layout]) => [number as number, layout as Layout<Fields>]);

test('iommufd.cmd_length: a byte too few is EINVAL, one too many E2BIG unless it is zero, by twelve structures', () => {
  for (const [number, layout] of STRUCTURES) {
    const rig = open();
    const answer = (size: number, tail: number[] = []) => rig.raw(number, layout, {}, { size, tail }).answer;
    const { name, size, min } = layout;
    expect([answer(min - 1), answer(size + 1, [0xff])], name).toEqual(['EINVAL', 'E2BIG']);
    expect(answer(size + 1, [0]), name).toBe(answer(size));
  }
});

test('iommufd.cmd_ex_fail: DESTROY of nobody is ENOENT with eight zeros more, E2BIG with anything else there', () => {
  const destroy = (size: number, tail: number[] = []) =>
    open().raw(DESTROY, IOMMU_DESTROY, { id: 0 }, { size, tail }).answer;
  expect(destroy(16, [0, 0, 0, 0, 0, 0, 0, 0])).toBe('ENOENT');
  expect(destroy(16, [1, 0, 0, 0, 0, 0, 0, 0])).toBe('E2BIG');
  expect([destroy(8), destroy(7)]).toEqual(['ENOENT', 'EINVAL']);
});

test('iommufd.global_options: the mode is 0, can be 1, and no more; large pages are no option of the context', () => {
  const rig = open();
  expect(option(rig, RLIMIT, GET)).toEqual(n(0n));
  expect([option(rig, RLIMIT, SET, 1n), option(rig, RLIMIT, SET, 2n)]).toEqual([0, 'EINVAL']);
  expect(option(rig, RLIMIT, GET)).toEqual(n(1n));
  expect(option(rig, RLIMIT, SET, 0n)).toBe(0);
  expect([option(rig, HUGE_PAGES, GET), option(rig, HUGE_PAGES, SET)]).toEqual(['ENOENT', 'ENOENT']);
});

test('iommufd.simple_ioctls: the container is of version 0, and can be of type 1, version 2', () => {
  expect([open().value(0x3b64, 0n), open().value(0x3b65, 3n)]).toEqual([0, 1]);
});

test('iommufd.unmap_cmd, map_cmd, info_cmd: EINVAL for size and flags, and ENODEV without a compat IOAS', () => {
  const rig = open();
  const unmap = (flags: number, size = 24) => rig.raw(0x3b72, DMA_UNMAP, { flags }, { size }).answer;
  expect([unmap(0, 1), unmap(2 ** 31), unmap(0)]).toEqual(['EINVAL', 'EINVAL', 'ENODEV']);
  const map = (flags: number, size = 32) => rig.raw(0x3b71, DMA_MAP, { flags }, { size }).answer;
  expect([map(0, 1), map(2 ** 31), map(3)]).toEqual(['EINVAL', 'EINVAL', 'ENODEV']);
  const info = (size: number) => rig.raw(0x3b70, IOMMU_TYPE1_INFO, {}, { size }).answer;
  expect([info(1), info(24)]).toEqual(['EINVAL', 'ENODEV']);
});

test('iommufd.set_iommu_cmd: neither version without a compat IOAS', () => {
  const rig = open();
  expect([rig.value(0x3b66, 3n), rig.value(0x3b66, 1n)]).toEqual(['ENODEV', 'ENODEV']);
});

test('iommufd.vfio_ioas: there is none, then the one that was set, then none', () => {
  const rig = open();
  const compat = (op: number, ioas_id = 0) => rig.raw(0x3b88, IOMMU_VFIO_IOAS, { op, ioas_id });
  expect([compat(0).answer, compat(1).answer]).toEqual(['ENODEV', 'ENOENT']);
  rig.must({ do: 'ioas_alloc', ctx: 'ctx', as: 'i' });
  expect(compat(1, rig.id('i')).answer).toBe(0);
  expect(compat(0)).toMatchObject({ answer: 0, out: { ioas_id: rig.id('i') } });
  expect([compat(2).answer, compat(0).answer]).toEqual([0, 'ENODEV']);
});
