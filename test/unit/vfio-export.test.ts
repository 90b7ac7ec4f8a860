import { describe, expect, test, vi } from 'vitest';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import { fromBigint, ZERO } from '../../impl/kernel/units.ts';
import { pcimP2pdmaProvider } from '../../impl/pci/p2pdma.ts';
import type { BarResource } from '../../impl/pci/topology.ts';
import { vfioConfigMemory, vfioConfigPower, vfioExport } from '../../impl/vfio/ioctl.ts';
import { exportDmaBuf } from '../../impl/vfio/pci-dmabuf.ts';
import { unregisterGroupDev } from '../../impl/vfio/registration.ts';
import { BAR_SIZE, BAR_START, dmaRanges, Rig } from './vfio-rig.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

type Range = readonly [offset: bigint, length: bigint];

const PAGE: Range = [0n, 0x1000n];
const UNALIGNED: Range = [0x800n, 0x1000n];
const OUTSIDE: Range = [BigInt(BAR_SIZE), 0x1000n];
const WRAPPING: Range = [0xfffffffffffff000n, 0x1000n];
const HUGE: Range = [0n, 2n ** 63n];
const WHOLE: Range = [0n, BigInt(BAR_SIZE)];

const BARS: ReadonlyMap<number, BarResource> = new Map([
  [0, { size: 0x100, phys: 0x3000000000 }],
  [2, { size: BAR_SIZE, phys: BAR_START }],
  [3, { size: 0x1000, phys: 0x8000, io: true }],
  [4, { size: 0x1000, phys: 0x5000000000, claimErr: 'EBUSY' }],
]);

describe('sizes, for a BAR of 16 MiB', () => {
  test.each<[what: string, answer: Errno | number, ranges: readonly Range[]]>([
    ['the whole BAR', 0x1000000, [[0n, 0x1000000n]]],
    ['its last page', 0x1000, [[0xfff000n, 0x1000n]]],
    ['its last page and one behind it', 'EINVAL', [[0xfff000n, 0x2000n]]],
    ['a page behind it', 'EINVAL', [[0x1000000n, 0x1000n]]],
    ['a page from the middle of one', 'EINVAL', [[0x800n, 0x1000n]]],
    ['half a page', 'EINVAL', [[0n, 0x800n]]],
    ['a page and a half', 'EINVAL', [[0n, 0x1800n]]],
    ['nothing', 'EINVAL', [[0n, 0n]]],
    ['a page twice', 0x2000, [PAGE, PAGE]],
    ['two pages, the second first', 0x2000, [[0x2000n, 0x1000n], PAGE]],
    ['the BAR three times', 0x3000000, [WHOLE, WHOLE, WHOLE]],
    ['a page that ends at 2^64', 'EOVERFLOW', [WRAPPING]],
    ['two pages beyond 2^64', 'EOVERFLOW', [[0xfffffffffffff000n, 0x2000n]]],
    ['all but a page of 2^63', 'EINVAL', [[0x1000n, 0x7ffffffffffff000n]]],
    ['what ends at physical 2^64', 'EOVERFLOW', [[0xffffffbfffff0000n, 0x10000n]]],
    ['what ends a page before that', 'EINVAL', [[0xffffffbfffff0000n, 0xf000n]]],
    ['2^63', 'EINVAL', [HUGE]],
    ['2^63 twice', 'EINVAL', [HUGE, HUGE]],
    ['lengths that wrap', 'EINVAL', [PAGE, [0x1000n, 0xfffffffffffff000n]]],
    ['a third range that is unaligned, after one that wraps', 'EINVAL', [WRAPPING, PAGE, UNALIGNED]],
    ['a range behind it, before one that wraps', 'EINVAL', [OUTSIDE, WRAPPING]],
    ['a range that wraps, before one behind it', 'EOVERFLOW', [WRAPPING, OUTSIDE]],
  ])('an export of %s answers %s', (_, answer, ranges) => {
    const rig = new Rig();
    const device = rig.opened();
    const fd = rig.tryExport(device, ranges);
    if (isErrno(answer)) {
      expect(fd).toBe(answer);
      expect(device.dmabufs).toEqual([]);
      return;
    }
    const { dmabuf, priv } = rig.behind(fd as number);
    expect(dmabuf.size).toBe(answer);
    expect(priv.physVec).toEqual(
      ranges.map(([offset, length]) => ({ paddr: BAR_START + Number(offset), len: Number(length) })),
    );
  });

  test('a BAR smaller than a page cannot be exported', () => {
    const rig = new Rig();
    expect(rig.tryExport(rig.opened({ bars: BARS }), [PAGE], 0)).toBe('EINVAL');
  });
});

/**
 * One reason to refuse an export each; `apply` adds it to what the user asks for. Which of two comes first is asked in
 * uapi-export.test.ts.
 */
interface Request {
  region: number;
  ranges: readonly Range[];
  flags: bigint;
  fault: string | undefined;
}
const reasons: readonly (readonly [why: string, answer: Errno, apply: (request: Request) => void])[] = [
  ['the request cannot be read', 'EFAULT', (r) => faultAt(r, 'copy_from_user')],
  ['there are no ranges', 'EINVAL', (r) => ranges(r, [])],
  ['there are flags', 'EINVAL', (r) => flags(r, 0x100000000n)],
  ['the region is no BAR', 'ENODEV', (r) => region(r, 6)],
  ['the BAR is absent', 'ENODEV', (r) => region(r, 1)],
  ['the BAR is claimed by another', 'ENODEV', (r) => region(r, 4)],
  ['the ranges find no memory', 'ENOMEM', (r) => faultAt(r, 'memdup_array_user')],
  ['the third range is unaligned', 'EINVAL', (r) => ranges(r, [PAGE, PAGE, UNALIGNED])],
  ['the size has bit 63', 'EINVAL', (r) => ranges(r, [HUGE])],
  ['the buffer finds no memory', 'ENOMEM', (r) => faultAt(r, 'vfio_pci_core_feature_dma_buf')],
  ['the BAR is an I/O BAR', 'EINVAL', (r) => region(r, 3)],
  ['a range wraps', 'EOVERFLOW', (r) => ranges(r, [WRAPPING, OUTSIDE])],
  ['a range leaves the BAR', 'EINVAL', (r) => ranges(r, [OUTSIDE, WRAPPING])],
  ['the dma-buf finds no memory', 'ENOMEM', (r) => faultAt(r, 'dma_buf_export')],
  ['no descriptor is free', 'EMFILE', (r) => faultAt(r, 'get_unused_fd')],
];

function faultAt(request: Request, site: string): void {
  request.fault = site;
}
function ranges(request: Request, value: readonly Range[]): void {
  request.ranges = value;
}
function flags(request: Request, value: bigint): void {
  request.flags = value;
}
function region(request: Request, value: number): void {
  request.region = value;
}

function ask(...applied: readonly ((request: Request) => void)[]): {
  answer: unknown;
  rig: Rig;
  registrations: number;
} {
  const rig = new Rig();
  const device = rig.opened({ bars: BARS });
  const request: Request = { region: 2, ranges: [PAGE], flags: 0n, fault: undefined };
  for (const apply of applied) apply(request);
  if (request.fault !== undefined) rig.kernel.faults.arm(1, request.fault);
  const { fds } = rig;
  const answer = rig.call(
    vfioExport(device, request.region, dmaRanges(request.ranges), fromBigint(request.flags), fds),
  );
  expect(device.dmabufs).toEqual([]);
  return { answer, rig, registrations: device.registration.count };
}

describe('refusals', () => {
  test.each(reasons)('export answers, when %s, %s, and leaves nothing', (_, answer, apply) => {
    const asked = ask(apply);
    expect(asked.answer).toBe(answer);
    expect(asked.rig.fds.size).toBe(0);
    expect(asked.registrations).toBe(2);
  });

  test('export answers EBADF without a descriptor, whatever is asked', () => {
    const rig = new Rig();
    expect(rig.tryExport(rig.device(), [HUGE], 99)).toBe('EBADF');
  });

  test('export answers ENODEV when the driver is going away', () => {
    const rig = new Rig();
    const device = rig.device();
    device.barErr.length = 0;
    rig.call(unregisterGroupDev(device));
    expect(rig.call(exportDmaBuf(device, 2, dmaRanges([PAGE]), ZERO, rig.fds))).toBe('ENODEV');
  });
});

describe('a new buffer', () => {
  test('is on the list, holds one registration and one token, and is usable while memory is on', () => {
    const rig = new Rig();
    const device = rig.opened();
    const { priv, dmabuf } = rig.exported(device);
    expect(device.dmabufs).toEqual([priv]);
    expect(device.registration.count).toBe(3);
    expect([priv.kref.count, priv.liveMaps, priv.comp.ready()]).toEqual([1, 0, false]);
    expect([priv.revoked, priv.revocations, priv.vdev]).toEqual([false, 0, device]);
    expect(dmabuf.file.refs.count).toBe(1);
    expect(priv.provider).toBe(pcimP2pdmaProvider(device.pci, 2));
  });

  test('comes last on the list', () => {
    const rig = new Rig();
    const device = rig.opened();
    const [first, second] = [rig.exported(device).priv, rig.exported(device).priv];
    expect(device.dmabufs).toEqual([first, second]);
  });

  test('is born revoked while memory is off or the function is in D3hot, which is no revocation', () => {
    const rig = new Rig();
    const device = rig.opened();
    rig.call(vfioConfigMemory(device, false));
    const off = rig.exported(device).priv;
    expect([off.revoked, off.revocations]).toEqual([true, 0]);
    rig.call(vfioConfigMemory(device, true));
    rig.call(vfioConfigPower(device, 3));
    expect(rig.exported(device).priv.revoked).toBe(true);
  });

  test('gets its born state under memory_lock and resv, with no usable moment in between', () => {
    const rig = new Rig();
    const device = rig.opened();
    const exporter = rig.actor('export', vfioExport(device, 2, dmaRanges([PAGE]), ZERO, rig.fds));
    exporter.runTo('memory_lock(W)');
    expect(device.dmabufs).toEqual([]);
    rig.call(vfioConfigMemory(device, false));
    expect(exporter.run()).toBe(true);
    expect(rig.behind(exporter.answer as number).priv.revoked).toBe(true);
  });

  test('has its descriptor last: who closes that at once finds it listed, in its state, and nothing locked', () => {
    const rig = new Rig();
    const device = rig.opened();
    const seen: unknown[] = [];
    vi.spyOn(rig.fds, 'install').mockImplementation((file) => {
      const priv = device.dmabufs.find(({ dmabuf }) => dmabuf.file === file);
      seen.push([priv?.revoked, priv?.dmabuf.resv.locked, device.memoryLock.locked]);
      return 'EMFILE';
    });
    expect(rig.tryExport(device, [PAGE])).toBe('EMFILE');
    rig.call(vfioConfigMemory(device, false));
    expect(rig.tryExport(device, [PAGE])).toBe('EMFILE');
    expect(seen).toEqual([
      [false, false, false],
      [true, false, false],
    ]);
  });
});

describe('the end of a buffer', () => {
  test('closing the descriptor takes it off the list and puts its registration, once', () => {
    const rig = new Rig();
    const device = rig.opened();
    const { fd } = rig.exported(device);
    const other = rig.exported(device);
    rig.closeFd(fd);
    expect(device.dmabufs).toEqual([other.priv]);
    expect(device.registration.count).toBe(3);
    expect(other.priv.revoked).toBe(false);
  });

  test('an export that finds no descriptor is released once, by the dma-buf', () => {
    const { answer, registrations } = ask((r) => faultAt(r, 'get_unused_fd'));
    expect(answer).toBe('EMFILE');
    expect(registrations).toBe(2);
  });

  test('a failed export while somebody turns memory off leaves a list without it', () => {
    const rig = new Rig();
    const device = rig.opened();
    const kept = rig.exported(device).priv;
    rig.kernel.faults.arm(1, 'get_unused_fd');
    const exporter = rig.actor('export', vfioExport(device, 2, dmaRanges([PAGE]), ZERO, rig.fds));
    exporter.runTo('resv');
    const off = rig.actor('off', vfioConfigMemory(device, false));
    expect(off.run()).toBe(false);
    expect(exporter.run()).toBe(true);
    expect(off.run()).toBe(true);
    expect(exporter.answer).toBe('EMFILE');
    expect(device.dmabufs).toEqual([kept]);
  });
});

describe('providers', () => {
  test('there is one for each memory BAR, with its own bus offset', () => {
    const device = new Rig().device({
      bars: new Map([
        [0, { size: 0x1000, phys: 0x4000000000, busAddress: 0xe0000000 }],
        [2, { size: 0x1000, phys: 0x5000000000 }],
        [3, { size: 0x1000, phys: 0x8000, io: true }],
      ]),
    });
    const providers = [0, 1, 2, 3].map((bar) => pcimP2pdmaProvider(device.pci, bar));
    const offset = fromBigint(2n ** 64n + 0xe0000000n - 0x4000000000n);
    const { pci: owner } = device;
    expect(providers).toEqual([{ owner, busOffset: offset }, undefined, { owner, busOffset: ZERO }, undefined]);
  });
});
