/** What MAP_DMA and UNMAP_DMA of type 1 refuse, what an unmap takes, and groups that come and go. */
import { describe, expect, test } from 'vitest';
import { ZERO } from '../../impl/kernel/units.ts';
import { IOVA, type MapHow, P, Type1Rig } from './type1-rig.ts';

const MAX = 2n ** 64n - P;

describe('MAP_DMA', () => {
  test.each<readonly [string, MapHow, string]>([
    ['nothing', { size: 0n }, 'EINVAL'],
    ['without a permission', { prot: '' }, 'EINVAL'],
    ['of half a page', { size: 0x800n }, 'EINVAL'],
    ['at half a page', { iova: IOVA + 0x800n }, 'EINVAL'],
    ['past the last byte', { iova: MAX, size: 2n * P }, 'EOVERFLOW'],
    ['over what the platform reserves', { iova: 0xfee0_0000n - P, size: 2n * P }, 'EINVAL'],
    ['outside of the aperture', { iova: 1n << 48n }, 'EINVAL'],
    ['of a page, at the end of the aperture', { iova: (1n << 48n) - P }, 'ok'],
  ])('%s', (_, how, answer) => {
    const rig = new Type1Rig();
    expect(rig.map(rig.memory(4n * P), how)).toBe(answer);
    expect(rig.pinned).toBe(answer === 'ok' ? 1 : 0);
  });

  test('of an address that is no page, or wraps', () => {
    const rig = new Type1Rig();
    const { page } = rig.memory(P);
    expect(rig.map({ page, byte: 0x800 })).toBe('EINVAL');
    expect(rig.map({ page: 2 ** 52 - 1, byte: 0 }, { size: 2n * P })).toBe('EOVERFLOW');
    expect(rig.map(ZERO)).toBe('EFAULT');
  });

  test('over a page that is mapped is EEXIST, before anything is looked at', () => {
    const rig = new Type1Rig();
    const memory = rig.memory(4n * P);
    expect(rig.map(memory, { size: 2n * P })).toBe('ok');
    expect(rig.map(memory, { iova: IOVA + P })).toBe('EEXIST');
    expect(rig.map(ZERO, { iova: IOVA - P, size: 4n * P })).toBe('EEXIST');
    expect(rig.map(memory, { iova: IOVA + 2n * P })).toBe('ok');
  });

  test('beyond the number of mappings is ENOSPC; an unmap makes room', () => {
    const rig = new Type1Rig();
    const memory = rig.memory(P);
    rig.container.dmaAvail = 1;
    expect(rig.map(memory)).toBe('ok');
    expect(rig.map(memory, { iova: 2n * IOVA })).toBe('ENOSPC');
    expect(rig.unmap()).toBe(P);
    expect(rig.map(memory, { iova: 2n * IOVA })).toBe('ok');
  });
});

describe('UNMAP_DMA', () => {
  const three = (v2: boolean): Type1Rig => {
    const rig = new Type1Rig({ v2 });
    const memory = rig.memory(2n * P);
    for (const i of [0n, 2n, 4n]) expect(rig.map(memory, { iova: IOVA + i * P, size: 2n * P })).toBe('ok');
    return rig;
  };

  test.each<readonly [string, bigint, bigint, bigint | string, bigint | string]>([
    ['nothing', 0n, 0n, 'EINVAL', 'EINVAL'],
    ['half a page', 0n, 0x800n, 'EINVAL', 'EINVAL'],
    ['where nothing is', 0x10n * P, P, 0n, 0n],
    ['one mapping', 0n, 2n * P, 2n * P, 2n * P],
    ['two mappings', 2n * P, 4n * P, 4n * P, 4n * P],
    ['the first half of a mapping', 0n, P, 'EINVAL', 2n * P],
    ['the second half of a mapping', P, P, 'EINVAL', 0n],
    ['one mapping and half of the next', 0n, 3n * P, 'EINVAL', 4n * P],
  ])('%s', (_, from, size, second, first) => {
    expect(three(true).unmap(IOVA + from, size)).toBe(second);
    expect(three(false).unmap(IOVA + from, size)).toBe(first);
  });

  test('past the last byte is EOVERFLOW', () => {
    expect(three(true).unmap(MAX, 2n * P)).toBe('EOVERFLOW');
  });

  test('of everything wants no range', () => {
    const rig = three(true);
    expect(rig.unmapAll(0n, P)).toBe('EINVAL');
    expect(rig.unmapAll(IOVA, 0n)).toBe('EINVAL');
    expect(rig.unmapAll()).toBe(6n * P);
    expect([rig.reach, rig.pinned, rig.container.dmaAvail]).toEqual([[], 0, 65535]);
  });
});

describe('a container without a group', () => {
  test('maps nothing yet, and everything with the first', () => {
    const rig = new Type1Rig({ attached: false });
    const memory = rig.memory(P);
    expect(rig.map(memory)).toBe('ok');
    expect(rig.pinned).toBe(0);
    for (const dev of ['dev0', 'dev1']) rig.join(dev);
    expect(rig.pinned).toBe(1);
    expect(rig.reach).toEqual(['0x1000000 → m+0x0 length 0x1000']);
  });

  test('takes no group for which what is mapped cannot be had, and leaves it as it was', () => {
    const rig = new Type1Rig({ attached: false });
    const memory = rig.memory(P);
    expect(rig.map(memory)).toBe('ok');
    expect(rig.map(ZERO, { iova: 2n * IOVA })).toBe('ok');
    expect(rig.attach('dev0')).toBe('EFAULT');
    expect([rig.pinned, rig.mm.lockedVm, rig.machine.iommu.domains.size]).toEqual([0, 0, 0]);
    expect(rig.device().group.owner).toBeUndefined();
    expect(rig.unmap(2n * IOVA)).toBe(P);
    expect(rig.attach('dev0')).toBeUndefined();
  });

  test.each([
    ['reserved', 0xfee0_0000n],
    ['outside of the aperture', 1n << 48n],
  ])('takes none where something is mapped that is %s', (_, iova) => {
    const rig = new Type1Rig({ attached: false });
    expect(rig.map(rig.memory(P), { iova })).toBe('ok');
    expect(rig.attach('dev0')).toBe('EINVAL');
  });

  test('opens no device', () => {
    expect(new Type1Rig({ attached: false }).open('dev0')).toBe('EINVAL');
  });
});

describe('a group', () => {
  test('comes once, and belongs to one owner', () => {
    const rig = new Type1Rig();
    expect(rig.attach('dev0')).toBe('EINVAL');
    const other = new Type1Rig({ attached: false });
    other.must({ do: 'iommufd_open', as: 'ctx' });
    other.must({ do: 'vfio_open', dev: 'dev0' });
    other.must({ do: 'vfio_bind', dev: 'dev0', ctx: 'ctx' });
    expect(other.attach('dev0')).toBe('EPERM');
    expect(other.device().group.ownerCount).toBe(1);
  });

  test('cannot come without memory, and is nobody’s then', () => {
    const rig = new Type1Rig({ attached: false });
    rig.machine.kernel.faults.arm(1, 'vfio_iommu_group');
    expect(rig.attach('dev0')).toBe('ENOMEM');
    expect(rig.device().group.owner).toBeUndefined();
  });

  test('opens its device once at a time, and again after a close; a failed open leaves it as it was', () => {
    const rig = new Type1Rig();
    expect(rig.open('dev0')).toBe('EBUSY');
    rig.must({ do: 'vfio_memory', dev: 'dev0', enable: false });
    rig.must({ do: 'vfio_close', dev: 'dev0' });
    rig.machine.kernel.faults.arm(1, 'vfio_config_init');
    expect(rig.open('dev0')).toBe('ENOMEM');
    rig.machine.kernel.faults.arm(1, 'vfio_allocate_device_file');
    expect(rig.open('dev0')).toBe('ENOMEM');
    expect(rig.machine.audit()).toEqual([]);
    expect(rig.open('dev0')).toBeUndefined();
    expect(rig.machine.audit()).toEqual([]);
  });
});
