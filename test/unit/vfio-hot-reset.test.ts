import { describe, expect, test, vi } from 'vitest';
import { Completion } from '../../impl/kernel/completion.ts';
import type { Errno } from '../../impl/kernel/errno.ts';
import { vfioConfigMemory, vfioHotReset, vfioLowPowerEntry } from '../../impl/vfio/ioctl.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { vfioDeviceBind, vfioDeviceOpen } from '../../impl/vfio/vfio-device.ts';
import { fakeIommufd } from './vfio-fake-iommufd.ts';
import { Mapping } from './vfio-mapping.ts';
import { holdUntil, type Importer, Rig } from './vfio-rig.ts';

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

/** What is wrong with one member of a set, and what the hot reset answers then. */
type Trouble =
  | 'nobody has it open'
  | 'nobody has its group'
  | 'somebody holds its memory_lock'
  | 'another iommufd has it'
  | 'it does not wake up';
const ANSWERS: Readonly<Record<Trouble, Errno | undefined>> = {
  'nobody has it open': undefined,
  'nobody has its group': 'EINVAL',
  'somebody holds its memory_lock': 'EBUSY',
  'another iommufd has it': 'EINVAL',
  'it does not wake up': 'EIO',
};
const NOT_TOUCHED: readonly Trouble[] = ['it does not wake up'];
const PLACES = ['first', 'second', 'third', 'last'] as const;
type Place = (typeof PLACES)[number];

/** A set of four, of which one has the trouble, and the last but one of the others has its memory off. */
class TroubledSet {
  readonly rig = new Rig();
  readonly devices: readonly VfioPciDevice[];
  readonly troubled: VfioPciDevice;
  readonly off: VfioPciDevice;
  readonly importers = new Map<VfioPciDevice, Importer>();
  /** Which members were revoked or given back, in order. */
  readonly log: string[] = [];
  #letGo: (() => void) | undefined;

  constructor(trouble: Trouble, place: Place) {
    const at = PLACES.indexOf(place);
    this.devices = PLACES.map((_, i) => this.#member(i, i === at ? trouble : undefined));
    this.troubled = this.devices[at] as VfioPciDevice;
    const others = this.devices.filter((device) => device !== this.troubled);
    this.off = others[1] as VfioPciDevice;
    this.rig.call(vfioConfigMemory(this.off, false));
    this.log.length = 0;
    if (trouble === 'somebody holds its memory_lock') this.#letGo = holdMemory(this.rig, this.troubled);
    if (trouble === 'it does not wake up') this.rig.kernel.faults.arm(1, 'pm_runtime_resume_and_get');
  }

  #member(i: number, trouble: Trouble | undefined): VfioPciDevice {
    const name = `dev${i}`;
    if (trouble === 'nobody has it open') return this.rig.device({ name });
    if (trouble === 'nobody has its group') return this.rig.device({ name, group: new Rig().group });
    const foreign = trouble === 'another iommufd has it';
    const device = this.rig.device({ name, group: foreign ? new Rig().group : this.rig.group });
    this.rig.call(vfioDeviceOpen(device));
    expect(
      this.rig.call(vfioDeviceBind(device, () => (foreign ? fakeIommufd('other') : this.rig.ctx))),
    ).toBeUndefined();
    const importer = this.rig.attach(this.rig.exported(device));
    importer.onInvalidate = () => this.log.push(name);
    this.importers.set(device, importer);
    if (trouble === 'it does not wake up') {
      this.rig.call(vfioLowPowerEntry(device, false));
    }
    return device;
  }

  /** Ask the first member that can be asked for a hot reset; it never waits. */
  hotReset(): Errno | undefined {
    const asked = this.devices.find((device) => device !== this.troubled) as VfioPciDevice;
    const reset = this.rig.actor('reset', vfioHotReset(asked));
    expect(reset.run()).toBe(true);
    this.#letGo?.();
    return reset.answer;
  }

  /** Of each member: whether its buffer is usable, or that it has none. */
  get usable(): (boolean | undefined)[] {
    return this.devices.map(({ dmabufs }) => dmabufs[0] && !dmabufs[0].revoked);
  }

  get locked(): boolean {
    return this.rig.devSet.lock.locked || this.devices.some(({ memoryLock }) => memoryLock.locked);
  }
}

const usable = (rig: Rig, device: VfioPciDevice): boolean => !rig.exported(device).priv.revoked;

const CASES = (Object.keys(ANSWERS) as Trouble[]).flatMap((trouble) =>
  PLACES.map((place) => [place, trouble, ANSWERS[trouble] ?? 'success'] as const),
);

describe('hot reset of four members', () => {
  test.each(CASES)('of which the %s has this: %s: %s, and every other is as it was', (place, trouble, answer) => {
    const set = new TroubledSet(trouble, place);
    const before = set.usable;
    expect(set.hotReset() ?? 'success').toBe(answer);
    expect([set.usable, set.locked]).toEqual([before, false]);
    expect(set.devices.map(({ power }) => power)).toEqual([0, 0, 0, 0]);
  });

  test.each(CASES)('of which the %s has this: %s: %s, after those before it were revoked', (place, trouble, answer) => {
    const set = new TroubledSet(trouble, place);
    set.hotReset();
    const untouched =
      answer === 'success' || NOT_TOUCHED.includes(trouble) ? [] : set.devices.slice(PLACES.indexOf(place));
    const reached = NOT_TOUCHED.includes(trouble) ? [] : set.devices.filter((device) => !untouched.includes(device));
    const told = reached.filter((device) => device !== set.off && set.importers.has(device)).map(({ name }) => name);
    expect(set.log).toEqual([...told, ...told.toReversed()]);
  });

  test.each(PLACES)('does not ask the %s for its configuration, when nobody has it open', (place) => {
    const set = new TroubledSet('nobody has it open', place);
    set.hotReset();
    expect([set.troubled.vconfig, set.troubled.pmUsage, set.troubled.memoryLock.locked]).toEqual([undefined, 0, false]);
  });
});

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

  test('is EINVAL with a member that another iommufd has', () => {
    const rig = new Rig();
    const device = rig.opened({ name: 'dev0' });
    const other = rig.device({ name: 'dev1', group: new Rig().group });
    rig.call(vfioDeviceOpen(other));
    expect(rig.call(vfioDeviceBind(other, () => fakeIommufd('other')))).toBeUndefined();
    expect(rig.call(vfioHotReset(device))).toBe('EINVAL');
    expect(rig.call(vfioHotReset(other))).toBe('EINVAL');
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
    const bind = rig.actor(
      'bind',
      vfioDeviceBind(opening, () => rig.ctx),
    );
    bind.runTo('memory_lock(W)');
    const reset = rig.actor('reset', vfioHotReset(device));
    expect(reset.run()).toBe(false);
    expect(bind.run()).toBe(true);
    expect(reset.run()).toBe(true);
    expect([bind.answer, reset.answer]).toEqual([undefined, undefined]);
  });
});

describe('the bus reset at the close of the last device that is open', () => {
  /** Two devices, of which one could not be reset when it was closed; and the close of the other. */
  function closedOne(hotResetErr?: Errno) {
    const rig = new Rig();
    const left = rig.opened({ name: 'dev0', resets: [] });
    const last = rig.opened({ name: 'dev1', ...(hotResetErr !== undefined && { hotResetErr }) });
    rig.close(left);
    expect([left.needsReset, last.needsReset]).toEqual([true, false]);
    rig.close(last);
    return [left.needsReset, last.needsReset];
  }

  test('makes up for every member that was closed without one', () => {
    expect(closedOne()).toEqual([false, false]);
  });

  test('that fails is still owed', () => {
    expect(closedOne('ENOTTY')).toEqual([true, false]);
  });
});
