/**
 * The buffer scenarios G-01 to G-18 on the selftests' IOMMU. `U` is the extra room that a second buffer lies in. G-10
 * is a matter of a container, in vfio-compat.test.ts, and G-11 one of accesses, in access-refusals.test.ts.
 *
 * Source: iommufd 6.5
 */
import { expect, test } from 'vitest';
import { A, at, attached, MOCK, mapFileOf, OK, Rig, removed, U64_MAX } from './iommufd-rig.ts';

/** 16 KiB of dev0 as `d`, and the IOAS attached, unless a scenario attaches later. */
function mock(attach = true, kernel = '7.3'): Rig {
  const rig = attach ? attached([], kernel, MOCK) : new Rig(MOCK, kernel);
  rig.export('d', [[0n, 0x4000n]]);
  rig.calls();
  return rig;
}
const d = { fd: 'd' } as const;
const U = A + 0x4000n;
const MAPPED = 'map ioas 0x1000000 -> dev0:2+0x0 0x4000 RW+MMIO';
const UNMAPPED = 'unmap ioas 0x1000000 0x4000';

test('G-01: a revoke unmaps both domains, the first first; a second revoke and UNMAP call neither', () => {
  const rig = mock();
  rig.hwpt('D1');
  expect(rig.mapFile(d)).toEqual(at(A));
  expect(rig.calls()).toEqual([MAPPED, MAPPED.replace('ioas', 'D1')]);
  rig.memory(false);
  expect(rig.calls()).toEqual([UNMAPPED, UNMAPPED.replace('ioas', 'D1')]);
  rig.do({ do: 'vfio_reset', dev: 'dev0' });
  expect(rig.unmap(A, 0x4000n)).toEqual(removed(0x4000n));
  expect([rig.calls(), rig.attachments()]).toEqual([[], [0, 0]]);
});

test('G-02: UNMAP of a part is ENOENT and calls nothing, revoked or not', () => {
  const rig = mock();
  rig.mapFile(d);
  rig.calls();
  expect(rig.unmap(A, 0x1000n)).toEqual({ err: 'ENOENT' });
  expect(rig.calls()).toEqual([]);
  rig.memory(false);
  expect([rig.calls(), rig.unmap(A, 0x1000n), rig.calls()]).toEqual([[UNMAPPED], { err: 'ENOENT' }, []]);
});

test('G-03, G-04: a slice that begins and ends within pages is mapped to the byte, and so is a copy', () => {
  const rig = mock();
  expect(rig.mapFile({ ...d, start: 0x1800n, length: 0x1000n, iova: A + 0x800n })).toEqual(at(A + 0x800n));
  expect(rig.calls()).toEqual(['map ioas 0x1000800 -> dev0:2+0x1800 0x1000 RW+MMIO']);
  const read = (iova: bigint): unknown => rig.do({ do: 'dma_read', dev: 'dev0', iova });
  expect([A + 0x7ffn, A + 0x800n, A + 0x17ffn, A + 0x1800n].map(read)).toEqual([
    { ok: { fault: true } },
    { ok: { target: 'dev0:2+0x1800' } },
    { ok: { target: 'dev0:2+0x27ff' } },
    { ok: { fault: true } },
  ]);
  expect(rig.copy(A + 0x1000n, 0x800n, { dst_iova: A + 0x10000n })).toEqual(at(A + 0x10000n));
  expect(rig.calls()).toEqual(['map ioas 0x1010000 -> dev0:2+0x2000 0x800 RW+MMIO']);
  rig.memory(false);
  expect(rig.calls()).toEqual(['unmap ioas 0x1000800 0x1000', 'unmap ioas 0x1010000 0x800']);
  expect([rig.unmap(0n, U64_MAX), rig.calls()]).toEqual([removed(0x1800n), []]);
});

test('G-05: a revoked buffer is ENODEV before alignment, EINVAL for its size before that', () => {
  const rig = mock();
  rig.memory(false);
  expect(rig.mapFile({ ...d, iova: A + 1n })).toEqual({ err: 'ENODEV' });
  expect(rig.mapFile({ ...d, length: 0x4001n })).toEqual({ err: 'EINVAL' });
  rig.memory(true);
  expect(rig.mapFile({ ...d, iova: A + 1n })).toEqual({ err: 'EINVAL' });
  expect(rig.attachments()).toEqual([0, 0]);
});

test('G-06: a revoked area owns its IOVA when a domain comes: in the way below the aperture, empty inside', () => {
  const rig = mock(false);
  const { iova: _, ...automatic } = { ...mapFileOf(), ...d };
  expect(rig.do(automatic)).toEqual(at(0x4000n));
  rig.memory(false);
  expect(rig.attach()).toEqual({ err: 'EADDRINUSE' });
  rig.memory(true);
  rig.unmap(0n, U64_MAX);
  rig.mapFile(d);
  rig.memory(false);
  expect([rig.attach(), rig.calls(), rig.reach('dev0')]).toEqual([OK, [], []]);
});

test('G-07: an area that is too fine keeps a domain out, and the alignment what it was', () => {
  const rig = mock(false);
  const all = [[0n, U64_MAX]];
  rig.mapFile({ ...d, start: 5n, length: 1n, iova: A + 5n });
  expect(rig.attach()).toEqual({ err: 'EADDRINUSE' });
  expect(rig.ranges()).toEqual({ ok: { alignment: 1n, ranges: all } });
  expect(rig.unmap(A + 5n, 1n)).toEqual(removed(1n));
  expect(rig.attach()).toEqual(OK);
  expect(rig.ranges()).toEqual({ ok: { alignment: 0x800n, ranges: [[A, 0x7fff_ffffn]] } });
});

test('G-08: without large pages a buffer is mapped page by page, and revoked at once', () => {
  const rig = mock(false);
  const { iopt } = rig.ioas();
  rig.must({ do: 'ioas_option_huge_pages', ioas: 'ioas', enable: false });
  rig.mapFile(d);
  rig.attach();
  const maps = [0, 1, 2, 3].map(
    (page) => `map ioas 0x100${page}000 -> dev0:2+0x${page ? `${page}000` : '0'} 0x1000 RW+MMIO`,
  );
  expect(rig.calls()).toEqual(maps);
  rig.memory(false);
  expect(rig.calls()).toEqual([UNMAPPED]);
  rig.must({ do: 'vfio_detach', dev: 'dev0' });
  expect(iopt.alignment).toBe(0x1000);
});

test('G-09: UNMAP of everything unmaps what is not revoked, and counts both', () => {
  const rig = mock();
  rig.export('d2', [[0n, 0x4000n]], 'dev1');
  rig.mapFile(d);
  rig.mapFile({ fd: 'd2', iova: U });
  rig.memory(false);
  rig.calls();
  expect(rig.unmap(0n, U64_MAX)).toEqual(removed(0x8000n));
  expect(rig.calls()).toEqual(['unmap ioas 0x1004000 0x4000']);
});

test('G-12: two mappings of one buffer have an attachment each, of which a revoke takes the newer first', () => {
  const rig = mock();
  rig.mapFile({ ...d, length: 0x2000n });
  rig.mapFile({ ...d, start: 0x2000n, length: 0x2000n, iova: A + 0x2000n });
  expect(rig.attachments()).toEqual([0, 2]);
  rig.calls();
  rig.memory(false);
  expect(rig.calls()).toEqual(['unmap ioas 0x1002000 0x2000', 'unmap ioas 0x1000000 0x2000']);
  expect(rig.unmap(A, 0x4000n)).toEqual(removed(0x4000n));
});

test('G-13: COPY does not write what was mapped without WRITEABLE', () => {
  const rig = mock();
  rig.mapFile({ ...d, prot: 'r' });
  expect(rig.copy(A, 0x4000n, { dst_iova: U })).toEqual({ err: 'EPERM' });
  expect(rig.copy(A, 0x4000n, { dst_iova: U, prot: 'r' })).toEqual(at(U));
});

test('G-14, G-15: a revoked area owns its IOVA, and below the aperture nobody maps', () => {
  const rig = mock();
  rig.export('d2', [[0n, 0x4000n]], 'dev1');
  expect(rig.mapFile({ ...d, iova: 0x1000n, length: 0x1000n })).toEqual({ err: 'EINVAL' });
  rig.mapFile(d);
  rig.memory(false);
  expect(rig.mapFile({ fd: 'd2' })).toEqual({ err: 'EEXIST' });
});

test('G-16: after a revoke, DESTROY of a domain, detach and UNMAP succeed without a call', () => {
  const rig = mock();
  rig.hwpt('D1');
  rig.mapFile(d);
  rig.memory(false);
  rig.calls();
  expect(rig.do({ do: 'destroy', obj: 'D1' })).toEqual(OK);
  expect(rig.do({ do: 'vfio_detach', dev: 'dev0' })).toEqual(OK);
  expect(rig.unmap(A, 0x4000n)).toEqual(removed(0x4000n));
  expect(rig.calls()).toEqual([]);
  rig.expectAtRest();
});

test('G-17: a revoked area is never mapped again, whatever the exporter gives back', () => {
  const rig = mock(false);
  rig.mapFile(d);
  expect([rig.attach(), rig.calls()]).toEqual([OK, [MAPPED]]);
  rig.memory(false);
  rig.memory(true);
  rig.calls();
  expect([rig.hwpt('D1'), rig.calls(), rig.reach('D1')]).toEqual([OK, [], []]);
  expect(rig.mapFile({ ...d, iova: U })).toEqual(at(U)); // Afresh, and elsewhere.
});

test('G-18: a buffer in two ranges is EOPNOTSUPP, and nobody stays attached', () => {
  const rig = mock();
  rig.export('two', [
    [0n, 0x1000n],
    [0x2000n, 0x1000n],
  ]);
  expect(rig.mapFile({ fd: 'two', length: 0x2000n })).toEqual({ err: 'EOPNOTSUPP' });
  expect(rig.attachments()).toEqual([0, 0, 0]);
});

test('G-21: a second domain that cannot map has the first unmapped again, and the IOVA is free', () => {
  const rig = mock();
  rig.hwpt('D1');
  const { faults } = rig.machine.kernel;
  faults.arm(2, 'iommu_map');
  expect(rig.mapFile(d)).toEqual({ err: 'ENOMEM' });
  faults.disarm();
  expect([rig.calls(), rig.attachments()]).toEqual([
    [MAPPED, UNMAPPED],
    [0, 0],
  ]);
  expect(rig.mapFile(d)).toEqual(at(A));
});

test('G-22: a new domain that cannot map its second area unmaps the first, and the old domain is not touched', () => {
  const rig = mock();
  rig.export('d2', [[0n, 0x4000n]], 'dev1');
  rig.mapFile(d);
  rig.mapFile({ fd: 'd2', iova: U });
  rig.calls();
  rig.machine.kernel.faults.arm(2, 'iommu_map');
  expect(rig.hwpt('D1')).toEqual({ err: 'ENOMEM' });
  expect(rig.calls()).toEqual([MAPPED.replace('ioas', 'D1'), UNMAPPED.replace('ioas', 'D1')]);
});

test('G-24: UNMAP that ends within an area keeps what it removed before, and answers ENOENT', () => {
  const rig = mock();
  rig.must({ do: 'mem_alloc', as: 'm', length: 0x1000n });
  rig.mapFile(d);
  rig.map('m', 0x1000n, { iova: A + 0x10000n });
  rig.calls();
  expect(rig.unmap(A, 0x10800n)).toEqual({ err: 'ENOENT' });
  expect(rig.calls()).toEqual([UNMAPPED]);
  expect(rig.unmap(0n, U64_MAX)).toEqual(removed(0x1000n));
});
