/**
 * The steps of the test program that comes with the unmerged series, one promise each; T1 to T20 in its order.
 *
 * Source: vfio-dmabuf 12.2
 */
import { expect, test, vi } from 'vitest';
import { munmap } from '../../impl/kernel/munmap.ts';
import { u64 } from '../../impl/kernel/units.ts';
import { process } from './vfio-mapping.ts';
import { START, START4, V4Rig } from './vfio-v4.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

const NO_MAPPING = (errno: string): string => `mmap answers ${errno}`;
/** What the program exports: two pages in the middle of BAR 2. */
const PART = [[0x4000n, 0x2000n]] as const;

/** The part is exported, mapped and touched. */
function part() {
  const rig = new V4Rig();
  const buffer = rig.exported(rig.dev, PART);
  const mapping = rig.mapBuf(buffer, { length: 0x2000n });
  const bar = rig.mapBar({ offset: 0x4000n, length: 0x2000n });
  for (const it of [mapping, bar]) it.touch();
  return { rig, buffer, mapping, bar };
}

test('T1: an exported part of a BAR shows the bytes that a mapping of the BAR shows', () => {
  const { mapping, bar } = part();
  expect([mapping.touch(0), mapping.touch(1)]).toEqual(['0x4000004000', '0x4000005000']);
  expect([bar.touch(0), bar.touch(1)]).toEqual(['0x4000004000', '0x4000005000']);
});

test('T2: mmap of more than the buffer has, or from behind its end, is EINVAL', () => {
  const { rig, buffer } = part();
  expect(() => rig.mapBuf(buffer, { length: 0x3000n })).toThrow(NO_MAPPING('EINVAL'));
  expect(() => rig.mapBuf(buffer, { offset: 0x2000n })).toThrow(NO_MAPPING('EINVAL'));
});

test('T3: a touch of a buffer that was revoked for good is SIGBUS, even of a page that was there', () => {
  const { rig, buffer, mapping } = part();
  expect([rig.revokePerm(buffer), mapping.touch(0), mapping.touch(1)]).toEqual([undefined, 'SIGBUS', 'SIGBUS']);
});

test('T4: a mapping of the BAR over the same range works on, without a fault and with one', () => {
  const { rig, buffer, bar } = part();
  rig.revokePerm(buffer);
  expect([bar.reached.length, bar.touch(0), bar.touch(1)]).toEqual([1, '0x4000004000', '0x4000005000']);
});

test('T5: a second revoke is EBADFD', () => {
  const { rig, buffer } = part();
  expect([rig.revokePerm(buffer), rig.revokePerm(buffer)]).toEqual([undefined, 'EBADFD']);
});

test('T6: mmap of the revoked buffer is ENODEV', () => {
  const { rig, buffer } = part();
  rig.revokePerm(buffer);
  expect(() => rig.mapBuf(buffer)).toThrow(NO_MAPPING('ENODEV'));
});

test('T7: the same range exported again can be mapped and touched', () => {
  const { rig, buffer } = part();
  rig.revokePerm(buffer);
  expect(rig.mapBuf(rig.exported(rig.dev, PART)).touch()).toBe('0x4000004000');
});

test('T8: two buffers over one range show the same bytes', () => {
  const { rig, mapping } = part();
  const alias = rig.mapBuf(rig.exported(rig.dev, PART), { length: 0x2000n });
  expect([alias.touch(0), alias.touch(1)]).toEqual([mapping.touch(0), mapping.touch(1)]);
});

test('T9: one buffer can be mapped twice, in one process and in another', () => {
  const { rig, buffer, mapping } = part();
  const more = [rig.mapBuf(buffer, {}, mapping.vma.mm), rig.mapBuf(buffer, {}, process())];
  expect([mapping, ...more].map((it) => it.touch())).toEqual(['0x4000004000', '0x4000004000', '0x4000004000']);
});

test('T10: a revoke by a duplicate of the descriptor takes both mappings, and leaves the other buffer', () => {
  const { rig, buffer, mapping } = part();
  const second = rig.mapBuf(buffer, { offset: 0x1000n });
  const alias = rig.mapBuf(rig.exported(rig.dev, PART));
  buffer.dmabuf.file.refs.get();
  const dup = rig.within(() => rig.fds.install(buffer.dmabuf.file)) as number;
  expect(rig.revokePerm({ fd: dup })).toBe(undefined);
  expect([mapping, second, alias].map((it) => it.touch())).toEqual(['SIGBUS', 'SIGBUS', '0x4000004000']);
  expect(rig.revokePerm(buffer)).toBe('EBADFD');
});

test('T11: the outer pages of three of a second BAR work when the middle one is unmapped', () => {
  const { rig } = part();
  const { vma, device } = rig.mapBar({ region: 4, length: 0x3000n });
  const { mm, startPage } = vma;
  const touched = (page: number): string => rig.touchIn(mm, startPage + page);
  expect([0, 1, 2].map(touched)).toEqual([START4, '0x4001001000', '0x4001002000']);
  rig.call(munmap(mm, u64(startPage + 1, 0), u64(1, 0)));
  expect([0, 1, 2].map(touched)).toEqual([START4, 'SIGSEGV', '0x4001002000']);
  // What is left of it is still one buffer, and a revoke takes both parts.
  rig.cmdMem(false);
  expect([mm.pageTable.leaves(), [0, 2].map(touched)]).toEqual([[], ['SIGBUS', 'SIGBUS']]);
  rig.cmdMem(true);
  expect([2, 0].map(touched)).toEqual(['0x4001002000', START4]);
  expect(device.dmabufs).toHaveLength(3);
  for (const page of [0, 2]) rig.call(munmap(mm, u64(startPage + page, 0), u64(1, 0)));
  expect(device.dmabufs).toHaveLength(2);
});

test('T12: a mapping of a BAR from a page behind its start shows that page', () => {
  const { rig } = part();
  expect(rig.mapBar({ region: 4, offset: 0x7000n }).touch()).toBe('0x4001007000');
});

const TWO = [
  [0x8000n, 0x2000n],
  [0x1000n, 0x1000n],
] as const;

test('T13: a buffer of two ranges shows their pages in the order of the ranges', () => {
  const rig = new V4Rig();
  const mapping = rig.mapBuf(rig.exported(rig.dev, TWO), { length: 0x3000n });
  expect([0, 1, 2].map((page) => mapping.touch(page))).toEqual(['0x4000008000', '0x4000009000', '0x4000001000']);
});

test('T14: from an offset on, across the border of two ranges, the pages are right', () => {
  const rig = new V4Rig();
  const mapping = rig.mapBuf(rig.exported(rig.dev, TWO), { offset: 0x1000n, length: 0x2000n });
  expect([1, 0].map((page) => mapping.touch(page))).toEqual(['0x4000001000', '0x4000009000']);
});

test('T15: a mapping works when the descriptor of the buffer is closed', () => {
  const { rig, buffer, mapping } = part();
  rig.closeFd(buffer.fd);
  expect([mapping.touch(0), mapping.touch(1)]).toEqual(['0x4000004000', '0x4000005000']);
});

test('T16: a revoke by a descriptor of something else is EINVAL', () => {
  const { rig } = part();
  rig.ctx.refs.get();
  const fd = rig.within(() => rig.fds.install(rig.ctx)) as number;
  expect(rig.revokePerm({ fd })).toBe('EINVAL');
});

test('T17: a mapping of a buffer works while a mapping of the BAR outlives all descriptors of the device', () => {
  const { rig, mapping } = part();
  rig.close(rig.dev);
  expect([mapping.touch(0), mapping.touch(1)]).toEqual(['0x4000004000', '0x4000005000']);
});

test('T18: when the mapping of the BAR goes, too, a touch of the buffer is SIGBUS', () => {
  const { rig, mapping, bar } = part();
  rig.close(rig.dev);
  bar.munmap();
  expect([mapping.reached, mapping.touch()]).toEqual([[], 'SIGBUS']);
});

test('T19: and mmap of the buffer is ENODEV', () => {
  const { rig, buffer, bar } = part();
  rig.close(rig.dev);
  bar.munmap();
  expect(() => rig.mapBuf(buffer)).toThrow(NO_MAPPING('ENODEV'));
});

test('T20: with MEMATTR a mapping is write-combining, and works', () => {
  const rig = new V4Rig();
  const buffer = rig.exported(rig.dev);
  expect(rig.memattr(buffer, 1)).toBe(undefined);
  const mapping = rig.mapBuf(buffer);
  expect([mapping.vma.pageProt.type, mapping.touch()]).toEqual(['WC', START]);
});
