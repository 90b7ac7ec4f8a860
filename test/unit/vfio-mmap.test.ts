/**
 * CPU mappings of BARs: what mmap refuses, what a touch finds, and what takes it away.
 *
 * Source: vfio-dmabuf 2.8, 6.1, 6.2, 6.9, 6.11, V-24, V-46, V-47
 */
import { describe, expect, test, vi } from 'vitest';
import type { Errno } from '../../impl/kernel/errno.ts';
import { mmap } from '../../impl/kernel/mmap.ts';
import { fromBigint, ZERO } from '../../impl/kernel/units.ts';
import type { BarResource } from '../../impl/pci/topology.ts';
import { vfioConfigMemory } from '../../impl/vfio/ioctl.ts';
import { type VfioDeviceFile, vfioDeviceOpen } from '../../impl/vfio/vfio-device.ts';
import { type How, Mapping, mapBar, process } from './vfio-mapping.ts';
import { BAR_SIZE, BAR_START, Rig } from './vfio-rig.ts';
import { Scene } from './vfio-scene.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

const REGION = 1n << 40n;
const START = '0x4000000000';

const bars = (more: readonly (readonly [number, BarResource])[]): Map<number, BarResource> =>
  new Map([[2, { size: BAR_SIZE, phys: BAR_START }], ...more]);

/** What mmap answers on a device with such BARs; whether or not it succeeds nothing is left after a munmap. */
function answer(how: How, more: readonly (readonly [number, BarResource])[] = []): Errno | 'ok' {
  const rig = new Rig();
  const device = rig.opened({ bars: bars(more) });
  const mm = process();
  const vma = rig.call(mapBar(device, mm, how));
  if (typeof vma !== 'string') return 'ok';
  expect([mm.vmas, device.mapping.vmas, device.file?.file.refs.count]).toEqual([[], [], 1]);
  return vma;
}

describe('mmap of a BAR', () => {
  test.each<[what: string, how: How, expected: Errno | 'ok']>([
    ['a region that there is not', { region: 9 }, 'EINVAL'],
    ['a region that there is not, by an offset into it', { region: 8, offset: REGION }, 'EINVAL'],
    ['a private mapping', { shared: false }, 'EINVAL'],
    ['the ROM', { region: 6 }, 'EINVAL'],
    ['configuration space', { region: 7 }, 'EINVAL'],
    ['VGA', { region: 8 }, 'EINVAL'],
    ['a BAR that there is not', { region: 1 }, 'EINVAL'],
    ['the whole BAR', { length: BigInt(BAR_SIZE) }, 'ok'],
    ['less than a page', { length: 1n }, 'ok'],
    ['its last byte', { offset: BigInt(BAR_SIZE) - 0x1000n, length: 1n }, 'ok'],
    ['a page more than the BAR', { length: BigInt(BAR_SIZE) + 1n }, 'EINVAL'],
    ['a page behind the BAR', { offset: BigInt(BAR_SIZE) }, 'EINVAL'],
    ['its last page and one more', { offset: BigInt(BAR_SIZE) - 0x1000n, length: 0x1001n }, 'EINVAL'],
    ['an offset inside of a page', { offset: 0x800n }, 'EINVAL'],
    ['a terabyte', { length: REGION }, 'EINVAL'],
    ['the BAR by way of the region before it', { region: 1, offset: REGION }, 'ok'],
  ])('of %s', (_, how, expected) => {
    expect(answer(how)).toBe(expected);
  });

  test.each<[what: string, bar: BarResource, length: bigint, expected: Errno | 'ok']>([
    ['an I/O BAR is EINVAL', { size: 0x1000, phys: 0x5000, io: true }, 0x1000n, 'EINVAL'],
    ['an empty BAR is EINVAL', { size: 0, phys: 0x5000 }, 0x1000n, 'EINVAL'],
    ['a BAR of less than a page works, as a page', { size: 0x100, phys: 0x5000 }, 0x1000n, 'ok'],
    ['a BAR of less than a page is EINVAL as two pages', { size: 0x100, phys: 0x5000 }, 0x2000n, 'EINVAL'],
    ['a BAR that shares its page is EINVAL', { size: 0x100, phys: 0x5100 }, 0x1000n, 'EINVAL'],
    ['a BAR that another driver has is EBUSY', { size: 0x1000, phys: 0x5000, claimErr: 'EBUSY' }, 0x1000n, 'EBUSY'],
    [
      'too much of a BAR that another has is EINVAL',
      { size: 0x1000, phys: 0x5000, claimErr: 'EBUSY' },
      1n << 13n,
      'EINVAL',
    ],
  ])('of %s', (_, bar, length, expected) => {
    expect(answer({ region: 0, length }, [[0, bar]])).toBe(expected);
  });

  test('is EINVAL through a file that is not bound, and takes no reference', () => {
    const rig = new Rig();
    const device = rig.device();
    rig.call(vfioDeviceOpen(device));
    expect(rig.call(mapBar(device, process()))).toBe('EINVAL');
    const df = device.file as VfioDeviceFile;
    expect(rig.call(df.mmap(new Mapping(rig, rig.opened({ name: 'other' })).vma))).toBe('EINVAL');
    expect(device.file?.file.refs.count).toBe(1);
  });

  test('keeps its page offset as it was given, the region above the page', () => {
    const rig = new Rig();
    const { vma } = new Mapping(rig, rig.opened(), { offset: 0x3000n });
    expect(vma.pgoff).toBe(2 * 2 ** 28 + 3);
    expect(vma.backing).toBeUndefined();
  });

  test('succeeds whether or not the device answers, and makes no entry', () => {
    for (const prepare of ['cmdMem', 'pm', 'lpEnter'] as const) {
      const scene = new Scene();
      if (prepare === 'cmdMem') scene.cmdMem(false);
      else if (prepare === 'pm') scene.pm(3);
      else scene.lpEnter();
      const mapping = new Mapping(scene.rig, scene.device);
      expect([mapping.reached, mapping.touch()]).toEqual([[], 'SIGBUS']);
    }
  });
});

test('mmap of a dma-buf is EINVAL, and holds nothing', () => {
  const { rig, device } = new Scene();
  const { dmabuf } = rig.exported(device);
  const args = { length: fromBigint(0x1000n), offset: ZERO, shared: true };
  expect(rig.call(mmap(process(), dmabuf.file, args))).toBe('EINVAL');
  expect([dmabuf.file.refs.count, dmabuf.mapping.vmas]).toEqual([1, []]);
});

describe('a touch of a BAR', () => {
  test('reaches the page of the BAR that the mapping shows there', () => {
    const rig = new Rig();
    const mapping = new Mapping(rig, rig.opened(), { offset: 0x5000n, length: 0x3000n });
    expect([0, 2, 1, 3, -1].map((page) => mapping.touch(page))).toEqual([
      '0x4000005000',
      '0x4000007000',
      '0x4000006000',
      'SIGSEGV',
      'SIGSEGV',
    ]);
    expect(mapping.reached).toEqual([
      [BAR_START + 0x5000, 1],
      [BAR_START + 0x7000, 1],
      [BAR_START + 0x6000, 1],
    ]);
  });

  test('enters the largest leaf that lies inside of the mapping and of which the memory is aligned', () => {
    const rig = new Rig();
    const [gib, mib] = [2 ** 30, 2 ** 21];
    const huge = { size: 4 * gib, phys: 0x8000000000 };
    const device = rig.opened({ bars: bars([[4, huge]]) });
    const leaves = (how: How, page: number): unknown => {
      const mapping = new Mapping(rig, device, { region: 4, ...how });
      mapping.touch(page);
      return mapping.reached;
    };
    const gibibytes = (n: bigint): bigint => n << 30n;
    expect(leaves({ length: gibibytes(2n) }, 2 ** 18 + 5)).toEqual([[huge.phys + gib, 2 ** 18]]);
    // Of its second GiB the mapping has one page.
    expect(leaves({ length: gibibytes(1n) + 0x1000n }, 2 ** 18)).toEqual([[huge.phys + gib, 1]]);
    expect(leaves({ length: gibibytes(1n) - 0x1000n }, 7)).toEqual([[huge.phys, 2 ** 9]]);
    expect(leaves({ length: gibibytes(1n) - 0x1000n }, 2 ** 18 - 2)).toEqual([[huge.phys + gib - 0x2000, 1]]);
    expect(leaves({ length: gibibytes(1n), offset: 0x200000n }, 3)).toEqual([[huge.phys + mib, 2 ** 9]]);
    expect(leaves({ length: gibibytes(1n), offset: 0x1000n }, 3)).toEqual([[huge.phys + 0x4000, 1]]);
  });

  test('finds smaller leaves where a smaller one has a table already', () => {
    const rig = new Rig();
    const device = rig.opened({ bars: bars([[4, { size: 2 ** 31, phys: 0x8000000000 }]]) });
    const mapping = new Mapping(rig, device, { region: 4, length: 1n << 30n });
    const { mm, startPage, pageProt } = mapping.vma;
    const { pageTable } = mm;
    rig.within(() => pageTable.insert({ page: startPage + 2, pfn: 0x8000002, order: 0, prot: pageProt }));
    mapping.touch(3);
    mapping.touch(2 ** 9);
    expect(mapping.reached).toEqual([
      [0x8000002000, 1],
      [0x8000003000, 1],
      [0x8000200000, 2 ** 9],
    ]);
  });

  test('gives back every lock that it takes', () => {
    const { device, mapping } = new Scene();
    mapping.touch();
    expect([device.memoryLock.locked, device.mapping.iMmapRwsem.locked, mapping.vma.mm.mmapLock.locked]).toEqual([
      false,
      false,
      false,
    ]);
  });
});

/** What a trigger leaves: whether it found the entry and removed it, and what the next touch gets. */
function leftBy(trigger: (scene: Scene) => unknown, config: ConstructorParameters<typeof Scene>[0] = {}): unknown[] {
  const scene = new Scene(config);
  expect(scene.mapping.touch()).toBe(START);
  trigger(scene);
  return [scene.mapping.reached.length, scene.mapping.touch()];
}

describe('the entries of a BAR', () => {
  test.each<[what: string, trigger: (scene: Scene) => unknown, left: number, touch: string]>([
    ['memory off', (it) => it.cmdMem(false), 0, 'SIGBUS'],
    ['memory off and on', (it) => [it.cmdMem(false), it.cmdMem(true)], 0, START],
    ['memory on, which is on', (it) => it.cmdMem(true), 1, START],
    ['a write to another register', (it) => it.write(0x3c, 1, 0), 1, START],
    ['a write of the upper byte', (it) => it.write(5, 1, 0), 1, START],
    ['VFIO_DEVICE_RESET', (it) => it.reset(), 0, START],
    ['VFIO_DEVICE_RESET with memory off', (it) => [it.cmdMem(false), it.reset()], 0, 'SIGBUS'],
    ['FLR', (it) => it.flr(), 0, START],
    ['a hot reset', (it) => it.hotReset(), 0, START],
    ['a hot reset with memory off', (it) => [it.cmdMem(false), it.hotReset()], 0, 'SIGBUS'],
    ['D3hot', (it) => it.pm(3), 0, 'SIGBUS'],
    ['D3hot and D0', (it) => [it.pm(3), it.pm(0)], 0, START],
    ['D3hot and a reset', (it) => [it.pm(3), it.reset()], 0, START],
    ['D1', (it) => it.pm(1), 1, START],
    ['D2', (it) => it.pm(2), 1, START],
    ['low power', (it) => it.lpEnter(), 0, 'SIGBUS'],
    ['low power, and out again', (it) => [it.lpEnter(), it.lpExit()], 0, START],
    ['low power, and a wakeup that nobody armed', (it) => [it.lpEnter(), it.wake()], 0, 'SIGBUS'],
    ['C4: low power with wakeup, and a wakeup', (it) => [it.lpEnter(true), it.wake()], 0, START],
    ['C1: low power, and memory on', (it) => [it.lpEnter(), it.cmdMem(true)], 0, 'SIGBUS'],
    ['C3: low power, and a reset', (it) => [it.lpEnter(), it.reset()], 0, 'SIGBUS'],
    ['an export', (it) => it.rig.exported(it.device), 1, START],
  ])('after %s', (_, trigger, left, touch) => {
    expect(leftBy(trigger)).toEqual([left, touch]);
  });

  test('are gone after D3hot that was refused, and come back by a touch', () => {
    const refused = (scene: Scene): unknown => {
      scene.device.sriovActive = true;
      return scene.pm(3);
    };
    expect(leftBy(refused)).toEqual([0, START]);
  });

  test('are gone after a second low power entry, which is EINVAL', () => {
    const scene = new Scene();
    scene.lpEnter(true);
    scene.wake();
    scene.mapping.touch();
    scene.lpEnter();
    expect([scene.lpEnter(), scene.mapping.reached]).toEqual(['EINVAL', []]);
  });

  test('stay when VFIO_DEVICE_RESET is EINVAL', () => {
    expect(leftBy((it) => it.reset(), { resets: [] })).toEqual([1, START]);
  });

  test('are gone after a reset that failed, and come back by a touch', () => {
    const failing = (scene: Scene): unknown => {
      scene.rig.kernel.faults.arm(1, 'pci_dev_trylock');
      return scene.reset();
    };
    expect(leftBy(failing)).toEqual([0, START]);
  });

  test('are gone after a config write that failed, and come back by a touch, as the buffers do not', () => {
    const scene = new Scene();
    scene.mapping.touch();
    scene.rig.kernel.faults.arm(1, 'pci_user_write_config_word');
    expect(scene.cmdMem(false)).toBe('EIO');
    expect([scene.mapping.reached, scene.mapping.touch(), scene.map()]).toEqual([[], START, 'ENODEV']);
  });

  test('of a virtual function are gone after memory off, and come back by a touch', () => {
    expect(leftBy((it) => it.cmdMem(false), { noCommandMemory: true })).toEqual([0, START]);
  });

  test('are taken from every mapping of the device, of every BAR and process, and from no other device', () => {
    const rig = new Rig();
    const device = rig.opened({
      bars: bars([
        [0, { size: 0x100, phys: 0x5000 }],
        [5, { size: 0x4000, phys: 0x8000 }],
      ]),
    });
    const other = rig.opened({ name: 'dev1', bars: new Map([[2, { size: 0x1000, phys: 0x10000 }]]) });
    const mappings = [
      new Mapping(rig, device),
      new Mapping(rig, device, { offset: 0x3000n, length: 0x2000n }),
      new Mapping(rig, device, { region: 0 }),
      new Mapping(rig, device, { region: 5, length: 0x4000n }),
    ];
    const elsewhere = new Mapping(rig, other);
    for (const mapping of [...mappings, elsewhere]) mapping.touch();
    expect(mappings.map(({ reached }) => reached.length)).toEqual([1, 1, 1, 1]);
    rig.call(vfioConfigMemory(device, false));
    expect(mappings.map(({ reached }) => reached)).toEqual([[], [], [], []]);
    expect(elsewhere.reached).toEqual([[0x10000, 1]]);
  });
});
