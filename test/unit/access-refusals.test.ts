/**
 * What no access may pin, and in which order it is told so.
 *
 * Source: iommufd 2.16, 5.1 (H-04), 6.5 (G-11), I-26, I-53, I-85
 */
import { describe, expect, test } from 'vitest';
import type { Command } from '../../trace/command.ts';
import { AccessRig, MAP } from './access-rig.ts';
import { A, CONFIG, mapFileOf } from './iommufd-rig.ts';
import { splatOf } from './kernel-rig.ts';

const COPY_AT = 0x200_0000n;
const other: Command = { do: 'ioas_alloc', ctx: 'ctx', as: 'other' };

describe('is refused, and leaves nothing pinned', () => {
  const READ_ONLY: Command = { ...MAP, prot: 'r' };
  const BUFFER = mapFileOf();
  test.each<[what: string, before: Command[], iova: bigint, length: bigint, write: boolean, answer: string]>([
    ['nothing at all: EINVAL', [MAP], A, 0n, true, 'EINVAL'],
    ['what wraps: EOVERFLOW', [MAP], 2n ** 64n - 0x1000n, 0x1001n, true, 'EOVERFLOW'],
    ['where no area is: ENOENT', [], A, 0x1000n, true, 'ENOENT'],
    ['beyond the area: ENOENT', [MAP], A + 0x7000n, 0x2000n, true, 'ENOENT'],
    ['from inside a page: EINVAL', [MAP], A + 1n, 0x1000n, true, 'EINVAL'],
    ['writing what is only read: EPERM', [READ_ONLY], A, 0x1000n, true, 'EPERM'],
    ['reading what is only written: EPERM', [{ ...MAP, prot: 'w' }], A, 0x1000n, false, 'EPERM'],
    ['memory that is not there: EFAULT', [{ ...MAP, offset: 0xc000n }], A + 0x2000n, 0x4000n, true, 'EFAULT'],
    ['a file that has ended: EINVAL', [{ ...mapFileOf(), fd: 'f', start: 0xf000n }], A, 0x2000n, true, 'EINVAL'],
    ['a dma-buf: EINVAL', [BUFFER], A, 0x1000n, true, 'EINVAL'],
    [
      'a revoked dma-buf: EINVAL',
      [BUFFER, { do: 'vfio_memory', dev: 'dev0', enable: false }],
      A,
      0x1000n,
      true,
      'EINVAL',
    ],
    // G-11: the permission is asked for first.
    ['a dma-buf that is only read, to read: EINVAL', [{ ...BUFFER, prot: 'r' }], A, 0x1000n, false, 'EINVAL'],
    ['a dma-buf that is only read, to write: EPERM', [{ ...BUFFER, prot: 'r' }], A, 0x1000n, true, 'EPERM'],
    ['memory, and a dma-buf behind it: EINVAL', [MAP, { ...BUFFER, iova: A + 0x8000n }], A, 0x9000n, true, 'EINVAL'],
    [
      'memory, and read-only memory behind it: EPERM',
      [MAP, { ...READ_ONLY, iova: A + 0x8000n }],
      A,
      0x9000n,
      true,
      'EPERM',
    ],
  ])('a pin of %s (I-85)', (_, before, iova, length, write, answer) => {
    const rig = new AccessRig(before);
    const mock = rig.create();
    expect(rig.pin(mock, iova, length, write)).toBe(answer);
    expect(rig.pinned()).toEqual({});
    expect(rig.areas().filter(({ numAccesses, numLocks }) => numAccesses + numLocks > 0)).toEqual([]);
    rig.expectAtRest();
  });

  // Half a page and half a page back to back: together they are a whole one, and so may be copied.
  test('a pin of areas that part in the middle of a page: EINVAL', () => {
    const rig = new AccessRig([MAP, { ...MAP, offset: 0x8000n, iova: A + 0x8000n, length: 0x800n }]);
    rig.must({ ...MAP, offset: 0x9000n, iova: A + 0x8800n, length: 0x800n }, other);
    const mock = rig.create('other');
    expect(rig.copy(A + 0x7000n, 0x2000n, { dst: 'other', dst_iova: COPY_AT })).toHaveProperty('ok');
    expect(rig.areas('other').length).toBe(3);
    expect(rig.pin(mock, COPY_AT, 0x1000n)).toBe(0);
    expect(rig.pin(mock, COPY_AT, 0x2000n)).toBe('EINVAL');
    expect(rig.pin(mock, COPY_AT + 0x1000n, 0x1000n)).toBe('EINVAL');
    expect(rig.pinned()).toEqual({ m: 1 });
    rig.expectAtRest();
  });

  test.each<[kernel: string, answer: unknown]>([
    ['7.3', 'EINVAL'],
    ['7.2.13', 'EINVAL'],
    ['7.1', 'WARN: device memory is pinned like memory of a process'],
    ['6.19', 'WARN: device memory is pinned like memory of a process'],
  ])('a dma-buf on %s (H-04, V6)', (kernel, answer) => {
    const rig = new AccessRig([mapFileOf()], CONFIG, kernel);
    const mock = rig.create();
    const pin = (): unknown => rig.pin(mock, A, 0x1000n);
    expect(kernel.startsWith('7.1') || kernel.startsWith('6') ? splatOf(pin) : pin()).toBe(answer);
  });

  test('memory in set-up or teardown, which no access finds: ENOENT (I-53)', () => {
    const rig = new AccessRig([MAP]);
    const mock = rig.create();
    const [area] = rig.areas();
    const pages = area?.pages;
    Object.assign(area ?? {}, { pages: undefined });
    expect([rig.pin(mock, A, 0x1000n), rig.read(mock, A, 1)]).toEqual(['ENOENT', 'ENOENT']);
    Object.assign(area ?? {}, { pages });
    rig.expectAtRest();
  });
});
