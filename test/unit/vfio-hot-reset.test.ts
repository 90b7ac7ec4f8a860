import { describe, expect, test, vi } from 'vitest';
import { Completion } from '../../impl/kernel/completion.ts';
import { vfioConfigMemory, vfioHotReset, vfioLowPowerEntry } from '../../impl/vfio/ioctl.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { vfioDeviceBind, vfioDeviceOpen } from '../../impl/vfio/vfio-device.ts';
import { fakeIommufd } from './vfio-fake-iommufd.ts';
import { Mapping } from './vfio-mapping.ts';
import { holdUntil, Rig } from './vfio-rig.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

/** A thread that keeps memory_lock of the device, as a page fault in progress would. */
function holdMemory(rig: Rig, device: VfioPciDevice): () => void {
  const done = new Completion('the fault');
  const { read } = device.memoryLock;
  const holder = rig.actor(
    'fault',
    holdUntil(read, () => device.memoryLock.releaseRead(), done),
  );
  holder.run();
  return () => {
    done.complete();
    holder.run();
  };
}

const usable = (rig: Rig, device: VfioPciDevice): boolean => !rig.exported(device).priv.revoked;

describe('hot reset', () => {
  test('revokes the buffers of every open member, and gives them back in the opposite order', () => {
    const rig = new Rig();
    const devices = [rig.opened({ name: 'dev0' }), rig.opened({ name: 'dev1' })] as const;
    const log: string[] = [];
    for (const device of devices) {
      rig.attach(rig.exported(device)).onInvalidate = () => log.push(`callback ${device.name}`);
      new Mapping(rig, device).onZap(() => log.push(`zap ${device.name}`));
    }
    expect(rig.call(vfioHotReset(devices[1]))).toBeUndefined();
    expect(log).toEqual(['callback dev0', 'zap dev0', 'callback dev1', 'zap dev1', 'callback dev1', 'callback dev0']);
    expect(devices.map((device) => device.dmabufs[0]?.revoked)).toEqual([false, false]);
  });

  test('leaves alone a member that nobody has open, if the iommufd owns its group', () => {
    const rig = new Rig();
    const [device, closed] = [rig.opened({ name: 'dev0' }), rig.device({ name: 'dev1' })];
    expect(rig.call(vfioHotReset(device))).toBeUndefined();
    expect([closed.vconfig, closed.memoryLock.locked, closed.pmUsage]).toEqual([undefined, false, 0]);
  });

  test('is EINVAL with a member in a group that its iommufd does not own', () => {
    const rig = new Rig();
    const device = rig.opened({ name: 'dev0' });
    const foreign = rig.device({ name: 'dev1', group: new Rig().group });
    const buffer = rig.exported(device);
    const importer = rig.attach(buffer);
    expect(rig.call(vfioHotReset(device))).toBe('EINVAL');
    expect([buffer.priv.revoked, importer.calls]).toEqual([false, 2]);
    expect([device.memoryLock.locked, foreign.memoryLock.locked, rig.devSet.lock.locked]).toEqual([
      false,
      false,
      false,
    ]);
  });

  test('is EINVAL with a member that another iommufd has', () => {
    const rig = new Rig();
    const device = rig.opened({ name: 'dev0' });
    const other = rig.device({ name: 'dev1', group: new Rig().group });
    rig.call(vfioDeviceOpen(other));
    expect(rig.call(vfioDeviceBind(other, fakeIommufd('other')))).toBeUndefined();
    expect(rig.call(vfioHotReset(device))).toBe('EINVAL');
    expect(rig.call(vfioHotReset(other))).toBe('EINVAL');
  });

  test('is EBUSY while somebody holds a memory_lock, never waits for it, and gives back what it revoked', () => {
    const rig = new Rig();
    const [first, second] = [rig.opened({ name: 'dev0' }), rig.opened({ name: 'dev1' })];
    const [mine, theirs] = [rig.exported(first).priv, rig.exported(second).priv];
    const letGo = holdMemory(rig, second);
    const reset = rig.actor('reset', vfioHotReset(first));
    expect(reset.run()).toBe(true);
    expect(reset.answer).toBe('EBUSY');
    expect([mine.revoked, mine.revocations, theirs.revocations]).toEqual([false, 1, 0]);
    expect(first.memoryLock.locked).toBe(false);
    letGo();
    expect(rig.call(vfioHotReset(first))).toBeUndefined();
  });

  test('that is EBUSY on its first member has revoked nothing', () => {
    const rig = new Rig();
    const [first, second] = [rig.opened({ name: 'dev0' }), rig.opened({ name: 'dev1' })];
    const { priv } = rig.exported(second);
    const letGo = holdMemory(rig, first);
    const reset = rig.actor('reset', vfioHotReset(second));
    expect([reset.run(), reset.answer, priv.revocations]).toEqual([true, 'EBUSY', 0]);
    letGo();
  });

  test('that the bus fails has revoked, and gives back all the same', () => {
    const rig = new Rig();
    const device = rig.opened({ hotResetErr: 'ENOTTY' });
    const { priv } = rig.exported(device);
    expect(rig.call(vfioHotReset(device))).toBe('ENOTTY');
    expect([priv.revoked, priv.revocations]).toEqual([false, 1]);
  });

  test('gives nothing back to a member with memory off', () => {
    const rig = new Rig();
    const [on, off] = [rig.opened({ name: 'dev0' }), rig.opened({ name: 'dev1' })];
    rig.call(vfioConfigMemory(off, false));
    expect(rig.call(vfioHotReset(on))).toBeUndefined();
    expect([usable(rig, on), usable(rig, off)]).toEqual([true, false]);
  });

  test('waits, with all members before it locked, for a slow importer', () => {
    const rig = new Rig();
    const [first, second] = [rig.opened({ name: 'dev0' }), rig.opened({ name: 'dev1' })];
    const importer = rig.attach(rig.exported(second));
    const table = rig.map(importer);
    const reset = rig.actor('reset', vfioHotReset(first));
    expect(reset.run()).toBe(false);
    expect([first.memoryLock.locked, second.memoryLock.locked]).toEqual([true, true]);
    rig.unmap(importer, table);
    expect(reset.run()).toBe(true);
  });

  test('of one set is serialised with another by dev_set->lock', () => {
    const rig = new Rig();
    const [first, second] = [rig.opened({ name: 'dev0' }), rig.opened({ name: 'dev1' })];
    const importer = rig.attach(rig.exported(first));
    const table = rig.map(importer);
    const resets = [rig.actor('one', vfioHotReset(first)), rig.actor('two', vfioHotReset(second))];
    expect(resets.map((reset) => reset.run())).toEqual([false, false]);
    rig.unmap(importer, table);
    expect(resets.map((reset) => [reset.run(), reset.answer])).toEqual([
      [true, undefined],
      [true, undefined],
    ]);
  });

  test('wakes sleeping members, and lets them sleep again', () => {
    const rig = new Rig();
    const [device, asleep] = [rig.opened({ name: 'dev0' }), rig.opened({ name: 'dev1' })];
    rig.call(vfioLowPowerEntry(asleep, false));
    expect(rig.call(vfioHotReset(device))).toBeUndefined();
    expect([asleep.engaged, asleep.pmUsage, device.pmUsage]).toEqual([true, 0, 1]);
  });

  test('is EIO, and revokes nothing, when a member does not wake up', () => {
    const rig = new Rig();
    const [device, asleep] = [rig.opened({ name: 'dev0' }), rig.opened({ name: 'dev1' })];
    const { priv } = rig.exported(device);
    rig.call(vfioLowPowerEntry(asleep, false));
    rig.kernel.faults.arm(1, 'pm_runtime_resume_and_get');
    expect(rig.call(vfioHotReset(device))).toBe('EIO');
    expect([priv.revocations, device.pmUsage, asleep.pmUsage]).toEqual([0, 1, 0]);
  });

  test('by a device that is bound to nothing is EINVAL', () => {
    const rig = new Rig();
    const device = rig.device();
    rig.call(vfioDeviceOpen(device));
    expect(rig.call(vfioHotReset(device))).toBe('EINVAL');
  });

  test('of a member that is being opened waits for the open', () => {
    const rig = new Rig();
    const [device, opening] = [rig.opened({ name: 'dev0' }), rig.device({ name: 'dev1' })];
    rig.call(vfioDeviceOpen(opening));
    const bind = rig.actor('bind', vfioDeviceBind(opening, rig.ctx));
    bind.runTo('memory_lock(W)');
    const reset = rig.actor('reset', vfioHotReset(device));
    expect(reset.run()).toBe(false);
    expect(bind.run()).toBe(true);
    expect(reset.run()).toBe(true);
    expect([bind.answer, reset.answer]).toEqual([undefined, undefined]);
  });
});
