/**
 * A touch of what the CPU maps of buffers: what it finds, what it takes on the way, and what takes it away again.
 *
 * Source: vfio-dmabuf 2.8, 6.6, 6.9, 6.10, V-47, V-55, V-58, V-59, V-64, V-65
 */
import { describe, expect, test, vi } from 'vitest';
import { USAGE } from '../../impl/dmabuf/resv.ts';
import { touch } from '../../impl/kernel/fault.ts';
import { Splat } from '../../impl/kernel/splat.ts';
import { preempt, type Thread } from '../../impl/kernel/thread.ts';
import type { Vma } from '../../impl/kernel/vma.ts';
import type { BarResource } from '../../impl/pci/topology.ts';
import { barOps } from '../../impl/vfio/bar-mapping.ts';
import { vfioConfigMemory, vfioConfigPower, vfioDeviceReset, vfioHotReset } from '../../impl/vfio/ioctl.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { setPfnMap } from '../../impl/vfio/pfn-map.ts';
import { lowPowerEntry, lowPowerExit } from '../../impl/vfio/power.ts';
import { process } from './vfio-mapping.ts';
import { Scene } from './vfio-scene.ts';
import { START, START4, V4, V4_LITERAL, V4Rig } from './vfio-v4.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

describe('a touch of a buffer', () => {
  test('enters the largest leaf that fits in a range, and only while the buffer is usable', () => {
    const rig = new V4Rig();
    const buffer = rig.exported(rig.dev, [
      [0x20_0000n, 0x20_0000n],
      [0x1000n, 0x1000n],
    ]);
    const mapping = rig.mapBuf(buffer, { length: 0x20_1000n });
    mapping.touch(5);
    mapping.touch(0x200);
    expect(mapping.reached).toEqual([
      [0x40_0020_0000, 0x200],
      [0x40_0000_1000, 1],
    ]);
  });

  test('gives back the registration and every lock, whatever it finds', () => {
    const rig = new V4Rig();
    const buffer = rig.exported(rig.dev);
    const mapping = rig.mapBuf(buffer);
    const held = () => [rig.dev.registration.count, rig.dev.memoryLock.locked, buffer.dmabuf.resv.locked];
    const before = held();
    expect([mapping.touch(), held()]).toEqual([START, before]);
    rig.cmdMem(false);
    expect([mapping.touch(), held()]).toEqual(['SIGBUS', before]);
  });

  test('tries again when there is no memory for a table', () => {
    const rig = new V4Rig();
    const mapping = rig.mapBuf(rig.exported(rig.dev));
    rig.kernel.faults.arm(1, 'pte_alloc');
    expect([mapping.touch(), rig.kernel.faults.fired]).toEqual([START, true]);
  });

  test('waits for dma_resv first, then with a registration for memory_lock, and asks again there', () => {
    const rig = new V4Rig();
    const { fd, dmabuf, priv } = rig.exported(rig.dev);
    const mapping = rig.mapBuf({ fd, dmabuf, priv });
    const { mm, startPage } = mapping.vma;
    const actor = rig.actor('touch', touch(mm, startPage, startPage));
    actor.runTo('resv');
    expect(rig.dev.registration.count).toBe(3);
    actor.runTo('memory_lock(R)');
    expect([rig.dev.registration.count, dmabuf.resv.locked]).toEqual([4, false]);
    // It has seen a usable buffer; the revoke does not wait for it, because it has no lock.
    rig.cmdMem(false);
    expect([actor.run(), actor.answer, mapping.reached]).toEqual([true, 'SIGBUS', []]);
    expect(rig.dev.registration.count).toBe(3);
  });

  test('that has seen a usable buffer survives the close of the device', () => {
    const rig = new V4Rig();
    const buffer = rig.exported(rig.dev);
    const mapping = rig.mapBuf(buffer);
    const { mm, startPage } = mapping.vma;
    const actor = rig.actor('touch', touch(mm, startPage, startPage));
    actor.runTo('memory_lock(R)');
    rig.close(rig.dev);
    expect([buffer.priv.vdev, rig.dev.registration.count]).toEqual([undefined, 2]);
    expect([actor.run(), actor.answer, rig.dev.registration.count]).toEqual([true, 'SIGBUS', 1]);
  });

  test('waits for a revoke that waits for a fence', () => {
    const rig = new V4Rig();
    const buffer = rig.exported(rig.dev);
    const mapping = rig.mapBuf(buffer);
    const { mm, startPage } = mapping.vma;
    const fence = rig.fence(buffer, USAGE.BOOKKEEP);
    const revoke = rig.actor('revoke', vfioConfigMemory(rig.dev, false));
    expect(revoke.run()).toBe(false);
    const toucher = rig.actor('touch', touch(mm, startPage, startPage));
    expect(toucher.run()).toBe(false);
    fence.signal();
    expect([revoke.run(), toucher.run(), toucher.answer]).toEqual([true, true, 'SIGBUS']);
  });

  test('of a page that its buffer has not is a splat', () => {
    const rig = new V4Rig();
    const buffer = rig.exported(rig.dev);
    const mapping = rig.mapBuf(buffer);
    Object.assign(buffer.priv, { physVec: [] });
    expect(() => mapping.touch()).toThrow(Splat);
  });
});

describe('a revoke', () => {
  /** Mappings of everything, touched: which of them have an entry after the trigger. */
  function left(features: typeof V4, trigger: (rig: V4Rig) => unknown): unknown[] {
    const rig = new V4Rig(features);
    const buffer = rig.exported(rig.dev, [
      [0n, 0x2000n],
      [0x8000n, 0x1000n],
    ]);
    const mappings = [
      rig.mapBuf(buffer, { length: 0x3000n }),
      rig.mapBuf(buffer, { offset: 0x2000n }),
      rig.mapBar({ region: 0, length: 0x4000n }),
      rig.mapBar({ region: 0, offset: 0x4000n, length: 0x1000n }),
      rig.mapBar({ region: 2, length: 0x1000n }),
      rig.mapBar({ region: 4, offset: 0x1000n, length: 0x2000n }),
    ];
    for (const mapping of mappings) for (let page = 0; page < mapping.vma.npages; page++) mapping.touch(page);
    trigger(rig);
    return mappings.map(({ reached }) => reached.length);
  }

  test.each<[what: string, trigger: (rig: V4Rig) => unknown]>([
    ['memory off', (rig) => rig.cmdMem(false)],
    ['a reset', (rig) => rig.call(vfioDeviceReset(rig.dev))],
    ['D3hot', (rig) => rig.call(vfioConfigPower(rig.dev, 3))],
    ['a hot reset', (rig) => rig.call(vfioHotReset(rig.dev))],
    ['low power', (rig) => rig.call(lowPowerEntry(rig.dev))],
  ])('by %s leaves no entry of any buffer', (_, trigger) => {
    expect(left(V4, trigger)).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test('as the series is written leaves what lies above the size of the buffer', () => {
    expect(left(V4_LITERAL, (rig) => rig.cmdMem(false))).toEqual([0, 0, 0, 1, 1, 2]);
  });

  test('takes entries away after the drain, and not before', () => {
    const rig = new V4Rig();
    const buffer = rig.exported(rig.dev);
    const mapping = rig.mapBuf(buffer);
    mapping.touch();
    const importer = rig.attach(buffer);
    const table = rig.map(importer);
    const revoke = rig.actor('revoke', vfioConfigMemory(rig.dev, false));
    expect([revoke.run(), mapping.reached.length, buffer.dmabuf.resv.locked]).toEqual([false, 1, false]);
    rig.unmap(importer, table);
    expect([revoke.run(), mapping.reached.length]).toEqual([true, 0]);
  });

  test('takes the entries of every process', () => {
    const rig = new V4Rig();
    const buffer = rig.exported(rig.dev);
    const mappings = [process(), process()].map((mm) => rig.mapBuf(buffer, {}, mm));
    for (const mapping of mappings) mapping.touch();
    rig.revokePerm(buffer);
    expect(mappings.map(({ reached }) => reached)).toEqual([[], []]);
  });

  test('calls importers before it zaps, in D0; giving back calls nobody and waits for nothing', () => {
    const scene = new Scene({}, V4);
    scene.mapping.touch();
    scene.pm(1);
    scene.reset();
    expect(scene.log).toEqual(['callback D0', 'zap D0']);
    const fence = scene.rig.fence(scene.buffer, USAGE.BOOKKEEP);
    fence.signal();
    scene.cmdMem(false);
    const pending = scene.rig.fence(scene.buffer, USAGE.KERNEL);
    expect([scene.cmdMem(true), scene.revoked, scene.importer.calls]).toEqual([undefined, false, 2]);
    pending.signal();
  });
});

describe('zap_bars_on_revoke', () => {
  /** A driver that maps BARs by the device file, as all did up to 7.3. */
  function* ownMmap(device: VfioPciDevice, vma: Vma): Thread<undefined> {
    yield preempt;
    setPfnMap(vma, 'NC');
    vma.ops = barOps(device, device.bars.get(2) as BarResource);
    return undefined;
  }

  test('is on for every driver with an mmap of its own, and off for vfio-pci', () => {
    expect([new V4Rig(V4, { mmap: ownMmap }), new V4Rig()].map(({ dev }) => dev.zapBarsOnRevoke)).toEqual([
      true,
      false,
    ]);
  });

  test.each<[what: string, trigger: (rig: V4Rig) => unknown]>([
    ['memory off', (rig) => rig.cmdMem(false)],
    ['a reset', (rig) => rig.call(vfioDeviceReset(rig.dev))],
    ['a hot reset', (rig) => rig.call(vfioHotReset(rig.dev))],
  ])('%s takes the entries of such a driver, unless it says that it needs no zap', (_, trigger) => {
    const left = (cleared: boolean): number => {
      const rig = new V4Rig(V4, { mmap: ownMmap });
      if (cleared) rig.dev.zapBarsOnRevoke = false;
      const mapping = rig.mapBar();
      mapping.touch();
      trigger(rig);
      return mapping.reached.length;
    };
    expect([left(false), left(true)]).toEqual([0, 1]);
  });
});

describe('low power', () => {
  test('makes a buffer that was exported meanwhile usable, and its touch SIGBUS until the end', () => {
    const rig = new V4Rig();
    const old = rig.exported(rig.dev);
    rig.call(lowPowerEntry(rig.dev));
    const late = rig.exported(rig.dev);
    expect([old.priv.status, late.priv.status]).toEqual(['TEMP_REVOKED', 'OK']);
    const [mapping, bar] = [rig.mapBuf(late), rig.mapBar({ region: 4 })];
    expect([mapping.touch(), bar.touch()]).toEqual(['SIGBUS', 'SIGBUS']);
    rig.call(lowPowerExit(rig.dev));
    expect([mapping.touch(), bar.touch(), rig.mapBuf(old).touch()]).toEqual([START, START4, START]);
  });
});

describe('after closing', () => {
  test('the descriptor of the buffer, a mapping of it works on', () => {
    const rig = new V4Rig();
    const buffer = rig.exported(rig.dev);
    const mapping = rig.mapBuf(buffer);
    rig.closeFd(buffer.fd);
    expect(mapping.touch()).toBe(START);
    mapping.munmap();
    expect([rig.dev.dmabufs, rig.dev.registration.count]).toEqual([[], 2]);
  });

  test('the device, without a mapping of a BAR, a mapping of a buffer is SIGBUS, for ever', () => {
    const rig = new V4Rig();
    const buffer = rig.exported(rig.dev);
    const mapping = rig.mapBuf(buffer);
    expect(mapping.touch()).toBe(START);
    rig.close(rig.dev);
    expect([mapping.reached, mapping.touch(), buffer.priv.state]).toEqual([[], 'SIGBUS', 'CLOSED']);
    rig.opened({ name: 'other' });
    expect(mapping.touch()).toBe('SIGBUS');
    mapping.munmap();
    rig.closeFd(buffer.fd);
    expect(rig.dev.registration.count).toBe(1);
  });

  test('the device, with a mapping of a BAR, both work until that goes', () => {
    const rig = new V4Rig();
    const buffer = rig.exported(rig.dev);
    const [mapping, bar] = [rig.mapBuf(buffer), rig.mapBar({ region: 4 })];
    rig.close(rig.dev);
    expect([mapping.touch(), bar.touch()]).toEqual([START, START4]);
    bar.munmap();
    expect([mapping.reached, mapping.touch(), rig.dev.vconfig]).toEqual([[], 'SIGBUS', undefined]);
    expect(() => rig.mapBuf(buffer)).toThrow('mmap answers ENODEV');
  });
});
