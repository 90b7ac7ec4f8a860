/**
 * What the CPU may map of a buffer, and what stands behind a mapping of a BAR.
 *
 * Source: vfio-dmabuf 2.5, 4.6, 6.3, 6.4, 6.8, 6.11, V-60 to V-62
 */
import { describe, expect, test, vi } from 'vitest';
import { type DmaBuf, dmaBufExport, O_RDONLY, O_RDWR, O_WRONLY } from '../../impl/dmabuf/dma-buf.ts';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import { munmap } from '../../impl/kernel/munmap.ts';
import { u64, ZERO } from '../../impl/kernel/units.ts';
import { type P2pdma, pcimP2pdmaProvider } from '../../impl/pci/p2pdma.ts';
import { vfioExport } from '../../impl/vfio/ioctl.ts';
import type { VfioPciDmaBuf } from '../../impl/vfio/pci-dmabuf.ts';
import { shownBuffer } from '../../impl/vfio/pci-dmabuf-vma.ts';
import { sweep } from './kernel-rig.ts';
import { type How, type Mapping, mapBar, mapBuffer, process } from './vfio-mapping.ts';
import { dmaRanges, type Exported, Rig } from './vfio-rig.ts';
import { BAR4, START, START4, V4, V4Rig } from './vfio-v4.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

/** What mmap of a buffer answers; nothing is left of one that is refused. */
function answer(rig: V4Rig, { dmabuf }: Exported, how: How = {}): Errno | 'ok' {
  const refs = dmabuf.file.refs.count;
  const mm = process();
  const vma = rig.call(mapBuffer(dmabuf, mm, how));
  if (!isErrno(vma)) {
    rig.call(munmap(mm, u64(vma.startPage, 0), u64(vma.npages, 0)));
    return 'ok';
  }
  expect([mm.vmas, dmabuf.mapping.vmas, dmabuf.file.refs.count]).toEqual([[], [], refs]);
  return vma;
}

/** An export with flags for its file. */
function exportedAs(rig: V4Rig, openFlags: number): Exported {
  const fd = rig.call(vfioExport(rig.dev, 2, dmaRanges([[0n, 0x3000n]]), ZERO, rig.fds, openFlags));
  return rig.behind(fd as number);
}

const bufferOf = ({ vma }: Mapping): VfioPciDmaBuf => shownBuffer(vma) as VfioPciDmaBuf;

describe('mmap of a buffer', () => {
  test.each<[what: string, how: How, expected: Errno | 'ok']>([
    ['all of it', { length: 0x3000n }, 'ok'],
    ['a byte more than all', { length: 0x3001n }, 'EINVAL'],
    ['its last page', { offset: 0x2000n }, 'ok'],
    ['its last page and one more', { offset: 0x2000n, length: 0x2000n }, 'EINVAL'],
    ['a page behind it', { offset: 0x3000n }, 'EINVAL'],
    ['no length', { length: 0n }, 'EINVAL'],
    ['an offset in a page', { offset: 0x800n }, 'EINVAL'],
    ['the end of all files', { offset: 2n ** 64n - 0x1000n }, 'EOVERFLOW'],
    ['a private mapping', { shared: false }, 'EINVAL'],
    ['a private mapping beyond it', { shared: false, length: 0x4000n }, 'EINVAL'],
  ])('of %s', (_, how, expected) => {
    const rig = new V4Rig();
    expect(answer(rig, rig.exported(rig.dev, [[0n, 0x3000n]]), how)).toBe(expected);
  });

  test('is EINVAL for a buffer of an exporter that has no such op, before its size is looked at', () => {
    const rig = new V4Rig();
    const ops = { mapDmaBuf: () => 'ENOMEM' as const, unmapDmaBuf: () => {}, release: function* () {} };
    const bare = rig.within(() => dmaBufExport('bare', 0x1000, ops, undefined)) as DmaBuf;
    expect(rig.call(mapBuffer(bare, process()))).toBe('EINVAL');
  });

  test('is EINVAL up to 7.3', () => {
    const rig = new Rig();
    const { dmabuf } = rig.exported(rig.opened());
    expect(rig.call(mapBuffer(dmabuf, process()))).toBe('EINVAL');
  });

  test.each<[name: string, flags: number, how: How, expected: Errno | 'ok']>([
    ['O_RDWR', O_RDWR, { write: false }, 'ok'],
    ['O_RDONLY, to be written', O_RDONLY, {}, 'EACCES'],
    // What cannot be written is not shared, whatever the user says: a buffer that is read-only is never mapped.
    ['O_RDONLY, to be read', O_RDONLY, { write: false }, 'EINVAL'],
    ['O_RDONLY, private', O_RDONLY, { shared: false }, 'EINVAL'],
    ['O_WRONLY', O_WRONLY, {}, 'EACCES'],
    ['O_WRONLY, private', O_WRONLY, { shared: false }, 'EACCES'],
    ['O_RDONLY at the end of all files', O_RDONLY, { offset: 2n ** 64n - 0x1000n }, 'EOVERFLOW'],
  ])('that was exported with %s', (_, flags, how, expected) => {
    const rig = new V4Rig();
    expect(answer(rig, exportedAs(rig, flags), how)).toBe(expected);
  });

  test('is ENODEV while it is not usable, even for a private mapping, and after beyond its size', () => {
    const rig = new V4Rig();
    const buffer = rig.exported(rig.dev);
    const answers = () =>
      [{}, { shared: false }, { length: 0x2000n }].map((how) => answer(rig, buffer, how as How)).join(' ');
    rig.cmdMem(false);
    expect(answers()).toBe('ENODEV ENODEV EINVAL');
    rig.cmdMem(true);
    expect(answers()).toBe('ok EINVAL EINVAL');
    rig.revokePerm(buffer);
    expect(answers()).toBe('ENODEV ENODEV EINVAL');
  });

  test('of a buffer that is not usable succeeds where nobody asks, and is SIGBUS until it is', () => {
    const rig = new V4Rig({ ...V4, mmapNeedsUsable: false });
    const buffer = rig.exported(rig.dev);
    rig.cmdMem(false);
    const mapping = rig.mapBuf(buffer);
    expect(mapping.touch()).toBe('SIGBUS');
    rig.cmdMem(true);
    expect(mapping.touch()).toBe(START);
    rig.revokePerm(buffer);
    expect(rig.mapBuf(buffer).touch()).toBe('SIGBUS');
  });

  test('holds the file, and neither the device nor its registration', () => {
    const rig = new V4Rig();
    const buffer = rig.exported(rig.dev);
    const before = [rig.dev.file?.file.refs.count, rig.dev.registration.count];
    const mapping = rig.mapBuf(buffer);
    expect(buffer.dmabuf.file.refs.count).toBe(2);
    expect([rig.dev.file?.file.refs.count, rig.dev.registration.count]).toEqual(before);
    mapping.munmap();
    expect([buffer.dmabuf.file.refs.count, buffer.dmabuf.mapping.vmas]).toEqual([1, []]);
  });
});

describe('mmap of a BAR', () => {
  test('makes a buffer of just that slice, and leaves its own page offset', () => {
    const rig = new V4Rig();
    const mapping = rig.mapBar({ region: 4, offset: 0x5000n, length: 0x2001n });
    const priv = bufferOf(mapping);
    expect(priv.physVec).toEqual([{ paddr: BAR4 + 0x5000, len: 0x3000 }]);
    expect([priv.dmabuf.size, priv.vmaPgoffAdjust, mapping.vma.pgoff]).toEqual([0x3000, 5, 4 * 2 ** 28 + 5]);
    expect(priv.provider).toBe(pcimP2pdmaProvider(rig.dev.pci, 4));
    expect([0, 1, 2].map((page) => mapping.touch(page))).toEqual(['0x4001005000', '0x4001006000', '0x4001007000']);
  });

  test('is a mapping of the buffer, which has no descriptor, and holds the device in its place', () => {
    const rig = new V4Rig();
    const fds = rig.fds.size;
    const mapping = rig.mapBar();
    const priv = bufferOf(mapping);
    expect([mapping.vma.file, priv.vfile, priv.vdev]).toEqual([priv.dmabuf.file, rig.dev.file?.file, rig.dev]);
    expect([priv.dmabuf.file.refs.count, rig.dev.file?.file.refs.count, rig.fds.size]).toEqual([1, 2, fds]);
    expect([rig.dev.mapping.vmas, priv.dmabuf.mapping.vmas]).toEqual([[], [mapping.vma]]);
    expect([rig.dev.dmabufs, rig.dev.registration.count]).toEqual([[priv], 3]);
    mapping.munmap();
    expect([rig.dev.dmabufs, rig.dev.registration.count, rig.dev.file?.file.refs.count]).toEqual([[], 2, 1]);
  });

  test.each([
    ['vfio0', 24, 'vfio0:0000:01:03.0/4'],
    ['vfio1', 253, 'vfio1:0000:01:1f.5/4'],
    ['a-name-of-16-byt', 24, 'a-name-of-16-byt:0000:01:03.0/4'],
    ['a-name-of-17-byte', 24, ''],
  ])('of %s, function %d of its bus, has a buffer of the name "%s"', (name, devfn, shown) => {
    const rig = new V4Rig(V4, { name, place: { devfn } });
    expect(bufferOf(rig.mapBar({ region: 4 })).dmabuf.shownName).toBe(shown);
  });

  test('while the memory is off succeeds, is SIGBUS, and is there when the memory is back', () => {
    const rig = new V4Rig();
    rig.cmdMem(false);
    const mapping = rig.mapBar();
    expect([bufferOf(mapping).status, mapping.touch()]).toEqual(['TEMP_REVOKED', 'SIGBUS']);
    rig.cmdMem(true);
    expect([bufferOf(mapping).status, mapping.touch()]).toEqual(['OK', START]);
    rig.cmdMem(false);
    expect([bufferOf(mapping).status, mapping.reached, mapping.touch()]).toEqual(['TEMP_REVOKED', [], 'SIGBUS']);
  });

  test('keeps the device open, and closes it with the last mapping', () => {
    const rig = new V4Rig();
    const [a, b] = [rig.mapBar(), rig.mapBar({ region: 4 })];
    rig.close(rig.dev);
    expect([rig.dev.openCount, a.touch(), b.touch()]).toEqual([1, START, START4]);
    a.munmap();
    expect([rig.dev.openCount, b.touch()]).toEqual([1, START4]);
    b.munmap();
    expect([rig.dev.openCount, rig.dev.vconfig, rig.dev.dmabufs]).toEqual([0, undefined, []]);
    expect([rig.dev.registration.count, rig.dev.memoryLock.locked]).toEqual([1, false]);
  });

  test('of less than a page of BAR shows the page', () => {
    const rig = new V4Rig(V4, { bars: new Map([[0, { size: 0x100, phys: 0x5000 }]]) });
    expect(rig.mapBar({ region: 0 }).touch()).toBe('0x5000');
  });

  test.each<[what: string, how: How, expected: Errno]>([
    ['a BAR that there is not', { region: 1 }, 'EINVAL'],
    ['a page more than it has', { region: 0, length: 0x11000n }, 'EINVAL'],
    ['the ROM', { region: 6 }, 'EINVAL'],
    ['a private mapping', { shared: false }, 'EINVAL'],
  ])('of %s is refused before any buffer is made', (_, how, expected) => {
    const rig = new V4Rig();
    expect([rig.call(mapBar(rig.dev, process(), how)), rig.dev.exports]).toEqual([expected, 0]);
  });

  test('of a BAR without a provider is EINVAL, and leaves nothing', () => {
    const rig = new V4Rig();
    Object.assign(rig.dev.pci.p2pdma as P2pdma, { mem: new Map() });
    expect(rig.call(mapBar(rig.dev, process()))).toBe('EINVAL');
    expect([rig.dev.file?.file.refs.count, rig.dev.registration.count, rig.dev.dmabufs]).toEqual([1, 2, []]);
  });

  test('fails without a trace at each of its allocations', () => {
    const rig = new V4Rig();
    const mm = process();
    const left = () => [mm.vmas, rig.dev.dmabufs, rig.dev.file?.file.refs.count, rig.dev.registration.count];
    const before = structuredClone(left());
    const sites = sweep(
      rig.kernel,
      () => rig.call(mapBar(rig.dev, mm)),
      (failed, site) => expect([failed, left()]).toEqual([site === 'copy_from_user' ? 'EFAULT' : 'ENOMEM', before]),
    );
    expect(sites).toEqual([
      'copy_from_user',
      'vm_area_alloc',
      'vma_iter_prealloc',
      'vfio_pci_core_mmap',
      'dma_buf_getfile',
      'dma_buf_export',
    ]);
  });
});

describe('the memory attribute', () => {
  const shown = ({ vma }: Mapping): string => vma.pageProt.type;

  test('is that of the moment in which a mapping is made, and never that of a mapping of the BAR', () => {
    const rig = new V4Rig();
    const [buffer, other] = [rig.exported(rig.dev), rig.exported(rig.dev)];
    const old = rig.mapBuf(buffer);
    expect(rig.memattr(buffer, 1)).toBe(undefined);
    const later = rig.mapBuf(buffer);
    expect([old, later, rig.mapBuf(other), rig.mapBar()].map(shown)).toEqual(['UC', 'WC', 'UC', 'UC']);
    expect(rig.memattr(buffer, 0)).toBe(undefined);
    expect([later, rig.mapBuf(buffer)].map(shown)).toEqual(['WC', 'UC']);
  });

  test('that there is not changes nothing', () => {
    const rig = new V4Rig();
    const buffer = rig.exported(rig.dev);
    rig.memattr(buffer, 1);
    expect([rig.memattr(buffer, 2), shown(rig.mapBuf(buffer))]).toEqual(['ENOENT', 'WC']);
  });

  test('stays what it was through a revoke, and through the fault that comes after', () => {
    const rig = new V4Rig();
    const buffer = rig.exported(rig.dev);
    rig.memattr(buffer, 1);
    const mapping = rig.mapBuf(buffer);
    rig.cmdMem(false);
    rig.cmdMem(true);
    expect([mapping.touch(), shown(mapping)]).toEqual([START, 'WC']);
    const { mm, startPage, lastPage } = mapping.vma;
    expect(mm.pageTable.leaves(startPage, lastPage).map(({ prot }) => prot)).toEqual([
      { type: 'WC', encrypted: false },
    ]);
  });
});
