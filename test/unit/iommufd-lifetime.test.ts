/**
 * What a mapping of a buffer outlives, and what it does not.
 *
 * Source: iommufd 1.3, 3.7, I-08, I-66, I-71, I-73
 */
import { expect, test } from 'vitest';
import type { Attachment } from '../../impl/dmabuf/attachment.ts';
import { vfioPciDmaBufOps } from '../../impl/vfio/pci-dmabuf.ts';
import { A, at, attached, mapFileOf, OK, type Rig, removed } from './iommufd-rig.ts';

const U = 0x200_0000n;
const OF_U = 'unmap ioas 0x2000000 0x4000';

test('a buffer that is given back is mapped afresh beside its dead mapping, and revoked without touching that', () => {
  const rig = attached([mapFileOf()]);
  rig.memory(false);
  rig.memory(true);
  rig.calls();
  expect(rig.mapFile({ iova: U })).toEqual(at(U));
  expect(rig.reach('dev0')).toEqual(['0x2000000 -> dev0:2+0x0 0x4000 RW+MMIO']);
  expect(rig.unmap(A, 0x4000n)).toEqual(removed(0x4000n));
  expect(rig.reach('dev0')).toHaveLength(1);
  rig.calls();
  rig.memory(false);
  expect([rig.calls(), rig.reach('dev0')]).toEqual([[OF_U], []]);
  rig.expectAtRest();
});

test('a copy of a buffer stays mapped when its source is unmapped, and is revoked with the buffer', () => {
  const rig = attached([{ do: 'ioas_alloc', ctx: 'ctx', as: 'other' }, mapFileOf()], '7.3');
  rig.must({ do: 'vfio_attach', dev: 'dev1', pt: 'other' });
  rig.copy(A + 0x1000n, 0x2000n, { dst: 'other', dst_iova: U });
  rig.copy(A, 0x4000n, { dst_iova: U });
  expect(rig.unmap(A, 0x4000n)).toEqual(removed(0x4000n));
  expect(rig.reach('dev1')).toEqual(['0x2000000 -> dev0:2+0x1000 0x2000 RW+MMIO']);
  rig.calls();
  rig.memory(false);
  expect(rig.calls().toSorted()).toEqual([OF_U, 'unmap other 0x2000000 0x2000']);
  expect([rig.reach('dev0'), rig.reach('dev1')]).toEqual([[], []]);
  rig.expectAtRest();
});

/** File references of the buffer behind `buf`, whoever holds them. */
const references = (rig: Rig): number | undefined =>
  rig.machine.devices.get('dev0')?.dmabufs[0]?.dmabuf.file.refs.count;

test('the descriptor of a buffer may be closed: each mapping holds one reference, and the last UNMAP the last', () => {
  const rig = attached([mapFileOf(), { ...mapFileOf(), iova: U }]);
  rig.copy(A, 0x1000n, { dst_iova: 0n });
  expect(references(rig)).toBe(3);
  rig.must({ do: 'fd_close', fd: 'buf' });
  expect([references(rig), rig.reach('dev0')]).toEqual([2, expect.objectContaining({ length: 3 })]);
  rig.unmap(A, 0x4000n);
  expect(references(rig)).toBe(2); // For the copy.
  rig.unmap(0n, 0x1000n);
  expect(references(rig)).toBe(1);
  rig.unmap(U, 0x4000n);
  expect(references(rig)).toBe(undefined);
  rig.expectAtRest();
});

test('a buffer is pinned by MAP_FILE and unpinned by what ends the mapping, both under dma_resv', () => {
  const log: string[] = [];
  const note =
    (what: string) =>
    ({ dmabuf }: Attachment): undefined => {
      log.push(`${what} ${dmabuf.resv.locked}`);
    };
  Object.assign(vfioPciDmaBufOps, { pin: note('pin'), unpin: note('unpin') });
  try {
    const rig = attached([mapFileOf()]);
    expect(log).toEqual(['pin true']);
    expect([rig.copy(A, 0x1000n, { dst_iova: 0n }), rig.unmap(A, 0x4000n)]).toEqual([at(0n), removed(0x4000n)]);
    expect([rig.memory(false), log]).toEqual([OK, ['pin true']]);
    rig.unmap(0n, 0x1000n);
    expect(log).toEqual(['pin true', 'unpin true']);
    rig.memory(true);
    rig.mapFile();
    expect(rig.mapFile()).toEqual({ err: 'EEXIST' });
    expect(log.slice(2)).toEqual(['pin true', 'pin true', 'unpin true']);
  } finally {
    Object.assign(vfioPciDmaBufOps, { pin: undefined, unpin: undefined });
  }
});
