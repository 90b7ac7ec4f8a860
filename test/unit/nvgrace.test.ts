/** A device with coherent memory beside its BARs: what it exports, what it maps, and when it may be touched. */
import * as fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { touch } from '../../impl/kernel/fault.ts';
import { featuresOf } from '../../impl/kernel/features.ts';
import type { BarResource } from '../../impl/pci/topology.ts';
import { vfioConfigMemory, vfioDeviceReset, vfioHotReset, vfioLowPowerEntry } from '../../impl/vfio/ioctl.ts';
import { NvgraceMemory, outOfRegion } from '../../impl/vfio/nvgrace.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { Mapping, mapBar, process } from './vfio-mapping.ts';
import { Rig } from './vfio-rig.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

const USEMEM = { phys: 0x80_0000_0000, size: 0x40_0000 };
const RESMEM = { phys: 0x90_0000_0000, size: 0x20_0000 };
const bar = (phys: number): BarResource => ({ phys, size: 0x1000 });
/** Real BARs at every number that is asked for, as small as they can be, so that a mistake for them shows. */
const BARS = new Map([
  [0, bar(0x40_0000_0000)],
  [2, bar(0x40_0001_0000)],
  [4, bar(0x40_0002_0000)],
]);

interface How {
  readonly bars?: ReadonlyMap<number, BarResource>;
  readonly resmem?: boolean;
  readonly exportsClaimedOnly?: boolean;
  readonly kernel?: string;
}

interface Made {
  readonly rig: Rig;
  readonly device: VfioPciDevice;
  readonly memory: NvgraceMemory;
}

function nvgrace({ bars = BARS, resmem = true, exportsClaimedOnly = true, kernel = '7.3' }: How = {}): Made {
  const rig = new Rig(featuresOf(kernel));
  const memory = resmem ? new NvgraceMemory(USEMEM, RESMEM) : new NvgraceMemory(USEMEM);
  const device = rig.opened({ bars, exportsClaimedOnly, ...memory.driver });
  memory.resetDone = false; // The open was a reset.
  return { rig, device, memory };
}

const physOf = ({ rig, device }: Made, region: number, range: readonly [bigint, bigint] = [0x1000n, 0x2000n]) => {
  const fd = rig.tryExport(device, [range], region);
  return typeof fd === 'number' ? rig.behind(fd).priv.physVec : fd;
};

describe('an export', () => {
  test('of region 4 is of the usable memory, and of region 2 of the part that is set aside', () => {
    const made = nvgrace();
    expect(physOf(made, 4)).toEqual([{ paddr: USEMEM.phys + 0x1000, len: 0x2000 }]);
    expect(physOf(made, 2)).toEqual([{ paddr: RESMEM.phys + 0x1000, len: 0x2000 }]);
  });

  test('of region 2 is of the BAR where nothing is set aside', () => {
    expect(physOf(nvgrace({ resmem: false }), 2, [0n, 0x1000n])).toEqual([{ paddr: 0x40_0001_0000, len: 0x1000 }]);
    expect(physOf(nvgrace({ resmem: false }), 2)).toBe('EINVAL');
  });

  test('of region 0 is of the BAR', () => {
    expect(physOf(nvgrace(), 0, [0n, 0x1000n])).toEqual([{ paddr: 0x40_0000_0000, len: 0x1000 }]);
  });

  test.each([
    ['past its end', 4, [0x40_0000n, 0x1000n], 'EINVAL'],
    ['across its end', 4, [0x3f_f000n, 0x2000n], 'EINVAL'],
    ['up to its end', 4, [0x3f_f000n, 0x1000n], 'ok'],
    ['across the end of what is set aside', 2, [0x1f_f000n, 0x2000n], 'EINVAL'],
    ['that wraps', 4, [0xffff_ffff_ffff_f000n, 0x1000n], 'EOVERFLOW'],
    ['of half a page', 4, [0n, 0x800n], 'EINVAL'],
  ] as const)('%s of the memory', (_, region, range, answer) => {
    const phys = physOf(nvgrace(), region, range);
    expect(typeof phys === 'string' ? phys : 'ok').toBe(answer);
  });

  test.each([2, 4])('of region %i is BAR 0’s for peer-to-peer DMA, and EINVAL where that has no provider', (region) => {
    const made = nvgrace();
    const fd = made.rig.tryExport(made.device, [[0n, 0x1000n]], region) as number;
    const other = made.rig.tryExport(made.device, [[0n, 0x1000n]], 0) as number;
    expect(made.rig.behind(fd).priv.provider).toBe(made.rig.behind(other).priv.provider);
    const ports = new Map([...BARS, [0, { ...bar(0x40_0000_0000), io: true }]]);
    expect(physOf(nvgrace({ bars: ports }), region)).toBe('EINVAL');
  });

  test('that succeeds lies in the memory of its region, whatever the ranges, and has a provider', () => {
    const page = fc.bigInt({ min: 0n, max: 0x180n });
    const ranges = fc.array(fc.tuple(page, page), { minLength: 1, maxLength: 3 });
    let exported = 0;
    fc.assert(
      fc.property(
        fc.constantFrom([2, RESMEM] as const, [4, USEMEM] as const),
        ranges,
        ([region, { phys, size }], all) => {
          const { rig, device } = nvgrace();
          const inBytes = all.map(([offset, length]) => [offset * 0x1000n, length * 0x1000n] as const);
          const inside = inBytes.every(([offset, length]) => length > 0n && offset + length <= BigInt(size));
          const fd = rig.tryExport(device, inBytes, region);
          expect(typeof fd === 'number').toBe(inside);
          if (typeof fd !== 'number') return;
          exported++;
          const { physVec, provider } = rig.behind(fd).priv;
          expect(provider).toBeDefined();
          for (const { paddr, len } of physVec) expect(phys <= paddr && paddr + len <= phys + size).toBe(true);
        },
      ),
      { seed: 20261121, numRuns: 300 },
    );
    expect(exported).toBeGreaterThan(50);
  });

  test('asks whether the BAR of the number was claimed, unless that is switched off', () => {
    const one = new Map([[0, bar(0x40_0000_0000)]]);
    expect(physOf(nvgrace({ bars: one }), 4)).toBe('ENODEV');
    const made = nvgrace({ bars: one, exportsClaimedOnly: false });
    expect(physOf(made, 4)).toEqual([{ paddr: USEMEM.phys + 0x1000, len: 0x2000 }]);
    expect(physOf(made, 2)).toEqual([{ paddr: RESMEM.phys + 0x1000, len: 0x2000 }]);
    expect(physOf(made, 1)).toBe('EINVAL');
    expect(physOf(made, 6)).toBe('ENODEV');
  });

  test('is revoked and given back with the memory bit, like that of a BAR', () => {
    const { rig, device } = nvgrace();
    const { priv } = rig.behind(rig.tryExport(device, [[0n, 0x1000n]], 4) as number);
    rig.call(vfioConfigMemory(device, false));
    expect(priv.revoked).toBe(true);
    rig.call(vfioConfigMemory(device, true));
    expect(priv.revoked).toBe(false);
  });

  test('by the variant without memory is of BARs alone', () => {
    const rig = new Rig();
    const device = rig.opened({ bars: BARS });
    expect(rig.tryExport(device, [[0n, 0x2000n]], 4)).toBe('EINVAL');
    expect(rig.behind(rig.tryExport(device, [[0n, 0x1000n]], 4) as number).priv.physVec[0]?.paddr).toBe(0x40_0002_0000);
  });
});

describe('a mapping', () => {
  test('of region 4 is cached, of region 2 write-combining; both show the memory', () => {
    const { rig, device } = nvgrace();
    const usable = new Mapping(rig, device, { region: 4, offset: 0x3000n });
    const setAside = new Mapping(rig, device, { region: 2, offset: 0x3000n });
    expect(usable.touch()).toBe('0x8000003000');
    expect(setAside.touch()).toBe('0x9000003000');
    expect([usable.vma.pageProt.type, setAside.vma.pageProt.type]).toEqual(['WB', 'WC']);
    for (const { vma } of [usable, setAside]) expect(vma.flags.has('PFNMAP')).toBe(true);
  });

  test.each([
    ['up to the end', 0x3f_f000n, 0x1000n, 'ok'],
    ['across the end', 0x3f_f000n, 0x2000n, 'EINVAL'],
    ['from the end on', 0x40_0000n, 0x1000n, 'EINVAL'],
    ['of all', 0n, 0x40_0000n, 'ok'],
    ['of a page more than all', 0n, 0x40_1000n, 'EINVAL'],
  ])('%s', (_, offset, length, answer) => {
    const { rig, device } = nvgrace();
    const vma = rig.call(mapBar(device, process(), { region: 4, offset, length }));
    expect(typeof vma === 'string' ? vma : 'ok').toBe(answer);
  });

  test('of a BAR of the device, and of what is set aside where there is none, is vfio-pci’s', () => {
    const { rig, device } = nvgrace({ resmem: false });
    const real = new Mapping(rig, device, { region: 2 });
    expect(real.touch()).toBe('0x4000010000');
    expect(real.vma.pageProt.type).toBe('UC');
    expect(rig.call(mapBar(device, process(), { region: 2, length: 0x2000n }))).toBe('EINVAL');
  });

  test('that wraps is EOVERFLOW, by its page or by its end', () => {
    expect(outOfRegion(USEMEM, 2 ** 52 - 1, 1)).toBe('EOVERFLOW');
    expect(outOfRegion(USEMEM, 2 ** 52 - 2, 1)).toBe('EOVERFLOW');
    expect(outOfRegion({ phys: 0, size: 0x1000 }, 2 ** 52 - 2, 1)).toBe('EINVAL');
  });

  test('is no buffer’s even in the unmerged series, so that a revoke must look for it', () => {
    const { rig, device } = nvgrace({ kernel: 'v4' });
    expect(device.zapBarsOnRevoke).toBe(true);
    const mapping = new Mapping(rig, device, { region: 4 });
    expect(device.dmabufs).toEqual([]);
    mapping.touch();
    rig.call(vfioConfigMemory(device, false));
    expect(mapping.reached).toEqual([]);
  });
});

describe('a touch', () => {
  test('in low power is SIGBUS', () => {
    const { rig, device } = nvgrace();
    const mapping = new Mapping(rig, device, { region: 4 });
    mapping.touch();
    rig.call(vfioLowPowerEntry(device, false));
    expect(mapping.reached).toEqual([]);
    expect(mapping.touch()).toBe('SIGBUS');
  });

  test('after a reset waits until the device is ready, once, and with memory_lock', () => {
    const { rig, device, memory } = nvgrace();
    const { vma } = new Mapping(rig, device, { region: 4 });
    memory.ready = false;
    rig.call(vfioDeviceReset(device));
    const toucher = rig.actor('toucher', touch(vma.mm, vma.startPage, vma.startPage));
    expect(toucher.run()).toBe(false);
    expect(vma.mm.pageTable.leaves()).toEqual([]);
    expect(device.memoryLock.locked).toBe(true);
    memory.ready = true;
    expect(toucher.run()).toBe(true);
    expect(vma.mm.pageTable.leaves()).toHaveLength(1);
    memory.ready = false;
    expect(new Mapping(rig, device, { region: 4 }).touch()).toBe('0x8000000000');
  });

  test('by two after a reset waits for both, whoever came first', () => {
    const { rig, device, memory } = nvgrace();
    const { vma } = new Mapping(rig, device, { region: 4, length: 0x2000n });
    memory.ready = false;
    rig.call(vfioDeviceReset(device));
    const touchers = [0, 1].map((n) => rig.actor(`toucher ${n}`, touch(vma.mm, vma.startPage + n, vma.startPage + n)));
    expect(touchers.map((toucher) => toucher.run())).toEqual([false, false]);
    memory.ready = true;
    expect(touchers.map((toucher) => toucher.run())).toEqual([true, true]);
  });

  test('after a hot reset by another member of the set waits until the device is ready, too', () => {
    const { rig, device, memory } = nvgrace();
    const other = rig.opened({ name: 'dev1' });
    const { vma } = new Mapping(rig, device, { region: 4 });
    memory.ready = false;
    expect(rig.call(vfioHotReset(other))).toBeUndefined();
    const toucher = rig.actor('toucher', touch(vma.mm, vma.startPage, vma.startPage));
    expect(toucher.run()).toBe(false);
    memory.ready = true;
    expect(toucher.run()).toBe(true);
  });

  test('of a device that does not get ready in its time is SIGBUS', () => {
    const { rig, device } = nvgrace();
    const mapping = new Mapping(rig, device, { region: 4 });
    rig.call(vfioDeviceReset(device));
    rig.kernel.faults.arm(1, 'nvgrace_gpu_wait_device_ready');
    expect(mapping.touch()).toBe('SIGBUS');
    // It has not been found ready yet, so the next asks again.
    rig.kernel.faults.arm(1, 'nvgrace_gpu_wait_device_ready');
    expect(mapping.touch()).toBe('SIGBUS');
    expect(mapping.touch()).toBe('0x8000000000');
  });

  test('after a reset, with memory off, is SIGBUS', () => {
    const { rig, device } = nvgrace();
    const mapping = new Mapping(rig, device, { region: 4 });
    rig.call(vfioConfigMemory(device, false));
    rig.call(vfioDeviceReset(device));
    expect(mapping.touch()).toBe('SIGBUS');
  });
});
