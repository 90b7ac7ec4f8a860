/**
 * Memory that is not a device's: pinned once however many domains and copies show it, and let go of with the last.
 *
 * Source: iommufd 2.12, I-60, I-64, I-66
 */
import { expect, test } from 'vitest';
import { FIXED_IOVA, ioasMapFile, READABLE } from '../../impl/iommufd/ioas.ts';
import { fromBigint, ZERO } from '../../impl/kernel/units.ts';
import type { Command } from '../../trace/command.ts';
import { A, at, attached, CONFIG, MOCK, mapFileOf, OK, Rig, removed, U64_MAX } from './iommufd-rig.ts';

const memory: readonly Command[] = [
  { do: 'mem_alloc', as: 'm', length: 0x10000n },
  { do: 'memfd_create', as: 'f', length: 0x10000n },
];
const MAP: Command = { do: 'ioas_map', ioas: 'ioas', mem: 'm', offset: 0n, length: 0x8000n, prot: 'rw', iova: A };
const MAP_MEMFD: Command = { ...mapFileOf(), fd: 'f', start: 0x2000n, length: 0x8000n };
const COPY_AT = 0x200_0000n;

test.each<[what: string, map: Command, name: string]>([
  ['user memory', MAP, 'm'],
  ['a memfd', MAP_MEMFD, 'f'],
])('%s is pinned once, when the first domain maps it, and unpinned, when the last is gone', (_, map, name) => {
  const rig = new Rig();
  rig.must(...memory, map);
  const pins: unknown[] = [rig.pinned()];
  for (const command of [
    { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' },
    { do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'hwpt' },
    { do: 'vfio_detach', dev: 'dev0' },
    { do: 'destroy', obj: 'hwpt' },
    { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' },
    { do: 'ioas_unmap', ioas: 'ioas', iova: A, length: 0x8000n },
  ] satisfies Command[]) {
    rig.must(command);
    pins.push(rig.pinned());
  }
  const all = { [name]: 8 };
  expect(pins).toEqual([{}, all, all, all, {}, all, {}]);
});

test('pages that a copy still shows stay pinned, and the others are let go of, when the source is unmapped', () => {
  const rig = attached([...memory, MAP]);
  rig.must({ do: 'ioas_alloc', ctx: 'ctx', as: 'other' }, { do: 'vfio_attach', dev: 'dev1', pt: 'other' });
  // Pages 2, 3 and 5 of 8; twice page 3.
  rig.copy(A + 0x2000n, 0x2000n, { dst: 'other', dst_iova: COPY_AT });
  rig.copy(A + 0x3000n, 0x1000n, { dst: 'other', dst_iova: COPY_AT + 0x10000n });
  rig.copy(A + 0x5000n, 0x1000n, { dst_iova: COPY_AT });
  expect(rig.pinned()).toEqual({ m: 8 });
  expect(rig.unmap(A, 0x8000n)).toEqual(removed(0x8000n));
  expect(rig.pinned()).toEqual({ m: 3 });
  expect(rig.reach('dev1')).toEqual(['0x2000000 -> m+0x2000 0x2000 RW+CACHE', '0x2010000 -> m+0x3000 0x1000 RW+CACHE']);
  rig.unmap(COPY_AT, 0x2000n, 'other');
  expect(rig.pinned()).toEqual({ m: 2 });
  rig.do({ do: 'vfio_detach', dev: 'dev1' });
  expect(rig.pinned()).toEqual({ m: 1 });
  rig.unmap(0n, U64_MAX);
  expect(rig.pinned()).toEqual({});
});

test.each<[what: string, from: bigint, length: bigint, left: number]>([
  ['its first page', 0n, 0x1000n, 1],
  ['its last page', 0x7000n, 0x1000n, 1],
  ['all of it', 0n, 0x8000n, 8],
])('a copy of %s keeps just that pinned', (_, from, length, left) => {
  const rig = attached([...memory, MAP]);
  rig.copy(A + from, length, { dst_iova: COPY_AT });
  rig.unmap(A, 0x8000n);
  expect(rig.pinned()).toEqual({ m: left });
  rig.unmap(COPY_AT, length);
  expect(rig.pinned()).toEqual({});
});

test('memory that is mapped from and to the middle of pages is unmapped to the byte, its pages are unpinned', () => {
  const rig = attached(memory, '7.3', MOCK);
  expect(rig.map('m', 0x2000n, { offset: 0x800n, iova: A + 0x800n })).toEqual(at(A + 0x800n));
  rig.map('m', 0x800n, { iova: A + 0x2800n }); // Right behind it.
  expect([rig.calls().length, rig.pinned()]).toEqual([2, { m: 4 }]);
  expect(rig.unmap(A + 0x800n, 0x2000n)).toEqual(removed(0x2000n));
  expect(rig.calls()).toEqual(['unmap ioas 0x1000800 0x2000']);
  expect([rig.pinned(), rig.reach('dev0')]).toEqual([{ m: 1 }, ['0x1002800 -> m+0x0 0x800 RW+CACHE']]);
});

test('pages are known to their kernel while an area shows them, and counted for each', () => {
  const rig = attached([...memory, MAP]);
  const pages = (): unknown => [...rig.machine.kernel.live.pages].map((each) => [each.label, each.references]);
  rig.copy(A, 0x1000n, { dst_iova: COPY_AT });
  expect(pages()).toEqual([['user pages', 2]]);
  rig.unmap(0n, U64_MAX);
  expect(pages()).toEqual([]);
});

test('what a copy is filled from is another domain, where one has the pages: nothing is pinned again', () => {
  const rig = attached([...memory, MAP]);
  const before = rig.backing('m').pinned;
  rig.machine.kernel.faults.arm(1, 'pin_user_pages');
  expect(rig.copy(A, 0x8000n, { dst_iova: COPY_AT })).toEqual(at(COPY_AT));
  expect([rig.machine.kernel.faults.fired, rig.backing('m').pinned]).toEqual([false, before]);
});

test('a mapping of which a part is in a domain pins the rest only', () => {
  const rig = attached([...memory, { do: 'ioas_alloc', ctx: 'ctx', as: 'other' }, { ...MAP, ioas: 'other' }]);
  rig.copy(A + 0x3000n, 0x2000n, { src: 'other', dst_iova: COPY_AT });
  expect(rig.pinned()).toEqual({ m: 2 });
  rig.hwpt('hwpt', 'other');
  expect(rig.pinned()).toEqual({ m: 8 });
  expect(rig.reach('hwpt')).toEqual(['0x1000000 -> m+0x0 0x8000 RW+CACHE']);
  rig.do({ do: 'destroy', obj: 'hwpt' });
  expect(rig.pinned()).toEqual({ m: 2 });
});

test.each<[gone: string, storage: string[]]>([
  ['the first', ['c', 'c']],
  ['the last', ['a', 'a']],
  ['the middle one', ['a', 'a']],
])('when %s of three domains goes, its areas are stored in slot 0, and nothing else is unmapped', (gone, storage) => {
  const rig = new Rig();
  for (const as of ['a', 'b', 'c']) rig.hwpt(as);
  rig.must(...memory, MAP);
  rig.mapFile({ iova: COPY_AT });
  rig.calls();
  const name = { 'the first': 'a', 'the last': 'c', 'the middle one': 'b' }[gone] as string;
  rig.must({ do: 'destroy', obj: name });
  expect(rig.calls()).toEqual([`unmap ${name} 0x1000000 0x8000`, `unmap ${name} 0x2000000 0x4000`]);
  const areas = rig.ioas().iopt.areas.all();
  expect(areas.map((area) => area.storage?.name)).toEqual(storage);
  // Filled from the storage domain, which still has everything.
  expect(rig.hwpt('late')).toEqual(OK);
  expect(rig.reach('late').map((each) => each.replace('CACHE', 'MMIO'))).toEqual([
    '0x1000000 -> m+0x0 0x8000 RW+MMIO',
    '0x2000000 -> dev0:2+0x0 0x4000 RW+MMIO',
  ]);
});

test('the domain that takes the place of the first keeps its place in the order of later maps', () => {
  const rig = new Rig();
  for (const as of ['a', 'b', 'c']) rig.hwpt(as);
  rig.must({ do: 'destroy', obj: 'a' });
  rig.mapFile();
  expect(rig.calls().map((call) => call.split(' ')[1])).toEqual(['c', 'b']);
});

test('a file that is no memfd is mapped without a domain, and is EINVAL for one', () => {
  const rig = new Rig();
  const { machine } = rig;
  const ioas = rig.ioas();
  const args = { flags: FIXED_IOVA | READABLE, length: fromBigint(0x4000n), iova: fromBigint(A) };
  const mapFd = (fd: number): unknown =>
    rig.call(ioasMapFile(ioas.ctx, ioas.id, args, fd, ZERO, machine.fds, machine.ram));
  expect(mapFd(rig.fd('dev0'))).toEqual(args.iova);
  expect(rig.attach('dev1')).toEqual({ err: 'EINVAL' });
  expect(rig.unmap(A, 0x4000n)).toEqual(removed(0x4000n));
  expect(rig.attach('dev1')).toEqual(OK);
  expect(mapFd(rig.fd('dev0'))).toEqual('EINVAL');
  rig.expectAtRest();
});

test.each<[what: string, start: bigint, length: bigint, answer: unknown]>([
  ['up to its last byte', 0x1000n, 0x800n, at(A)],
  ['beyond its last byte', 0x1000n, 0x1000n, { err: 'EINVAL' }],
  ['from behind its end', 0x2000n, 0x800n, { err: 'EINVAL' }],
])('a memfd of one page and a half is pinned %s', (_, start, length, answer) => {
  const rig = attached([{ do: 'memfd_create', as: 'odd', length: 0x1800n }], '7.2', {
    ...CONFIG,
    pageSizes: [0x800n],
  });
  expect(rig.mapFile({ fd: 'odd', start, length })).toEqual(answer);
  expect(rig.pinned()).toEqual('ok' in (answer as object) ? { odd: 1 } : {});
});

test('a memfd keeps its pages, when its descriptor is closed before a domain comes', () => {
  const rig = new Rig();
  rig.must(...memory, MAP_MEMFD, { do: 'fd_close', fd: 'f' });
  expect(rig.attach()).toEqual(OK);
  expect([rig.reach('dev0'), rig.pinned()]).toEqual([['0x1000000 -> f+0x2000 0x8000 RW+CACHE'], { f: 8 }]);
});
