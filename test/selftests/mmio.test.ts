/**
 * The kernel's selftests of DMA to a BAR that the process has mapped, by each kind of IOMMU: type 1 maps it, and an
 * iommufd, native or as a container, refuses.
 *
 * Source: vfio-dmabuf 12.1, `map_full_bar`, `map_partial_bar`, `map_bar_misaligned`
 */
import { describe, expect, test } from 'vitest';
import { Container, TYPE1, TYPE1V2 } from '../unit/container-rig.ts';
import { P, Type1Rig } from '../unit/type1-rig.ts';

const BAR = 0x40_0000n;
const IOVA = 0x100_0000n;

/** What part of the BAR is mapped, and where in the process and the I/O address space it lies. */
const CASES = [
  ['map_full_bar', 0n, BAR],
  ['map_partial_bar', 0n, P],
  // Nothing of it can be a large page: the mapping begins at a page of the BAR that is no multiple of 2 MiB.
  ['map_bar_misaligned', P, BAR - P],
] as const;

describe.each(CASES)('%s', (_, offset, size) => {
  test.each([
    ['type1', false],
    ['type1v2', true],
  ])('%s: a map and an unmap succeed', (_, v2) => {
    const rig = new Type1Rig({ v2 });
    const vma = rig.bar(size, offset);
    expect(rig.map(vma, { size, iova: IOVA })).toBe('ok');
    const target = `dev0:2+0x${offset.toString(16)}`;
    expect(rig.reach).toEqual([`0x1000000 → ${target} length 0x${size.toString(16)}`]);
    expect(rig.unmap(IOVA, size)).toBe(size);
    expect(rig.reach).toEqual([]);
  });

  test.each([
    ['type1', TYPE1],
    ['type1v2', TYPE1V2],
  ])('an iommufd as a container of %s: a map fails', (_, version) => {
    const rig = new Container(version);
    rig.must({ do: 'bar_mmap', dev: 'dev0', region: 2, offset, length: size, as: 'v' });
    const named = rig.machine.names.get('v');
    if (named?.kind !== 'mem') throw new Error('no mapping of the BAR');
    expect(rig.mapDma(IOVA, size, { vaddr: named.address })).toBe('EFAULT');
    expect(rig.mapDma(IOVA, P)).toBe(0);
  });

  test('iommufd: a map fails', () => {
    const rig = new Container();
    rig.must({ do: 'bar_mmap', dev: 'dev0', region: 2, offset, length: size, as: 'v' });
    const map = { do: 'ioas_map', ioas: 'ioas', offset: 0n, prot: 'rw', iova: IOVA } as const;
    expect(rig.machine.execute({ ...map, mem: 'v', length: size })).toEqual({ err: 'EFAULT' });
    expect(rig.machine.execute({ ...map, mem: 'm', length: P })).toEqual({ ok: { iova: IOVA } });
  });
});
