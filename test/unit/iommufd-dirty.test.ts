/**
 * Dirty tracking: what devices have written, by page of a bitmap.
 *
 * Source: iommufd 2.11, 2.18, T-70 to T-72, H-32 to H-34
 */
import { describe, expect, test } from 'vitest';
import {
  DIRTY_BITMAP_NO_CLEAR,
  DIRTY_TRACKING_ENABLE,
  getDirtyBitmap,
  setDirtyTracking,
} from '../../impl/iommufd/dirty.ts';
import { fromBigint } from '../../impl/kernel/units.ts';
import type { Command } from '../../trace/command.ts';
import { A, CONFIG, mapFileOf, OK, Rig, removed } from './iommufd-rig.ts';

const HUGE = 0x20_0000n;
const ALL_OF_16 = [...Array(16).keys()].filter((bit) => bit !== 1);
const TRACKING = { do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'hwpt', flags: 2n } as const;

interface Get {
  readonly iova?: bigint;
  readonly length?: bigint;
  readonly pageSize?: bigint;
  readonly flags?: number;
  readonly reserved?: number;
  readonly hwpt?: number;
}

/** dev0 writes through a domain that can tell; 16 pages of memory at A, and a buffer of two huge pages at HUGE * 16. */
class Tracked extends Rig {
  constructor(config = CONFIG, kernel = '7.2') {
    super(config, kernel);
    for (const device of this.machine.devices.values()) device.dirtyTracking = device.name === 'dev0';
    this.must(TRACKING, { do: 'vfio_attach', dev: 'dev0', pt: 'hwpt' }, { do: 'mem_alloc', as: 'm', length: 0x10000n });
    this.must({ do: 'ioas_map', ioas: 'ioas', mem: 'm', offset: 0n, length: 0x10000n, prot: 'rw', iova: A });
    this.must({ ...mapFileOf(), length: 2n * HUGE, iova: 16n * HUGE });
  }

  get hwptId(): number {
    return this.idOf('hwpt');
  }

  idOf(handle: string): number {
    const named = this.machine.names.get(handle);
    return named?.kind === 'object' ? named.object.id : 0;
  }

  /** Bytes at these IOVAs, each written or not. */
  write(...iovas: bigint[]): boolean[] {
    return iovas.map((iova) => this.domain('dev0').write(fromBigint(iova)) !== undefined);
  }

  set(flags = DIRTY_TRACKING_ENABLE, id = this.hwptId): unknown {
    return this.call(setDirtyTracking(this.ioas().ctx, id, flags));
  }

  /** Which bits of the bitmap are set, or an errno. Bit 1 is set before, and stays so; it is left out. */
  get(how: Get = {}, bits = 64): unknown {
    const { iova = A, length = 0x10000n, pageSize = 0x1000n, flags = 0, reserved = 0, hwpt = this.hwptId } = how;
    const bitmap = new Uint8Array(bits / 8).fill(2, 0, 1);
    const range = { iova: fromBigint(iova), length: fromBigint(length), pageSize: fromBigint(pageSize) };
    const args = { ...range, flags, reserved };
    const failed = this.call(getDirtyBitmap(this.ioas().ctx, hwpt, args, bitmap));
    this.expectAtRest();
    const isSet = (bit: number): boolean => (((bitmap[bit >> 3] as number) >> (bit & 7)) & 1) === 1;
    expect(isSet(1)).toBe(true);
    return failed ?? [...Array(bits).keys()].filter((bit) => isSet(bit) && bit !== 1);
  }
}

test('a page that was written is told once, or as long as NO_CLEAR is asked for', () => {
  const rig = new Tracked();
  expect(rig.set()).toBe(undefined);
  expect(rig.write(A + 0x3fffn, A + 0x7000n, A + 0xf000n, A + 0xffffn)).toEqual([true, true, true, true]);
  const dirty = [3, 7, 15];
  const flags = DIRTY_BITMAP_NO_CLEAR;
  expect([rig.get({ flags }), rig.get({ flags }), rig.get(), rig.get()]).toEqual([dirty, dirty, dirty, []]);
});

test('a read of a part leaves the rest; a bit begins at the IOVA of the range', () => {
  const rig = new Tracked();
  rig.set();
  rig.write(A + 0x4000n, A + 0x6000n, A + 0x8000n);
  expect(rig.get({ iova: A + 0x2000n, length: 0x6000n })).toEqual([2, 4]);
  expect(rig.get()).toEqual([8]);
});

test.each<[pageSize: bigint, bits: number[]]>([
  [0x800n, [8, 9, 22, 23]],
  [0x1000n, [4, 11]],
  [0x2000n, [2, 5]],
  [0x8000n, [0]],
])('with %s bytes to a bit, every page that meets a written one is told', (pageSize, bits) => {
  const rig = new Tracked();
  rig.set();
  rig.write(A + 0x4000n, A + 0xb000n);
  expect(rig.get({ pageSize })).toEqual(bits);
});

test('a large page is written as a whole, and forgotten as a whole', () => {
  const rig = new Tracked();
  rig.set();
  rig.write(16n * HUGE + 0x5000n);
  const part = { iova: 16n * HUGE + 0x10000n, length: 0x8000n };
  expect(rig.get({ ...part, flags: DIRTY_BITMAP_NO_CLEAR })).toEqual([0, 2, 3, 4, 5, 6, 7]);
  expect(rig.get({ iova: 16n * HUGE, length: 2n * HUGE, pageSize: HUGE / 16n })).toEqual(ALL_OF_16);
  expect(rig.get(part)).toEqual([]);
});

test('nothing is told of what was written before tracking was enabled, or after it was disabled', () => {
  const rig = new Tracked();
  rig.write(A + 0x3000n);
  rig.set();
  rig.write(A + 0x4000n);
  rig.set(0);
  rig.write(A + 0x5000n);
  expect(rig.get({ flags: DIRTY_BITMAP_NO_CLEAR })).toEqual([4]);
  rig.set();
  expect(rig.get()).toEqual([]);
});

test('a write that the mapping does not permit, or that nothing maps, faults and leaves no bit', () => {
  const rig = new Tracked();
  rig.set();
  rig.must({ do: 'ioas_map', ioas: 'ioas', mem: 'm', offset: 0n, length: 0x10000n, prot: 'r', iova: A + 0x10000n });
  expect(rig.write(A + 0x14000n, A + 0x24000n, 2n ** 50n)).toEqual([false, false, false]);
  expect(rig.get({ iova: A + 0x10000n })).toEqual([]);
  expect(rig.domain('hwpt').setDirty(fromBigint(A + 0x24000n))).toBe(false);
});

test('what is seen of a mapping does not depend on whether it was written', () => {
  const rig = new Tracked();
  const before = rig.reach('hwpt');
  rig.set();
  rig.write(A + 0x3000n, A + 0x3000n, 16n * HUGE);
  expect(rig.reach('hwpt')).toEqual(before);
  expect(rig.domain('hwpt').protection(fromBigint(A + 0x3000n))).toBe(rig.domain('hwpt').protection(fromBigint(A)));
});

test('a bit goes with its mapping: neither UNMAP nor revoke leaves one, and what is mapped anew is clean', () => {
  const rig = new Tracked();
  rig.set();
  rig.write(A + 0x3000n, 16n * HUGE + 0x3000n);
  rig.memory(false);
  expect(rig.get({ iova: 16n * HUGE, length: 2n * HUGE })).toEqual([]);
  expect(rig.unmap(A, 0x10000n)).toEqual(removed(0x10000n));
  expect(rig.get()).toEqual([]);
  rig.must({ do: 'ioas_map', ioas: 'ioas', mem: 'm', offset: 0n, length: 0x10000n, prot: 'rw', iova: A });
  expect(rig.get()).toEqual([]);
});

test('a gap ends the reading without an error: areas up to it are told and forgotten, those behind it neither', () => {
  const rig = new Tracked();
  const map = { do: 'ioas_map', ioas: 'ioas', mem: 'm', offset: 0n, length: 0x1000n, prot: 'rw' } as const;
  rig.must({ ...map, iova: A + 0x10000n }, { ...map, iova: A + 0x12000n });
  rig.set();
  rig.write(A + 0xf000n, A + 0x10000n, A + 0x12000n);
  const all = { length: 0x20000n };
  expect([rig.get(all), rig.get(all)]).toEqual([[15, 16], []]);
  expect(rig.get({ iova: A + 0x11000n, length: 0x2000n })).toEqual([]);
  expect(rig.get({ iova: A + 0x12000n, length: 0x1000n, pageSize: 0x100n })).toEqual(ALL_OF_16);
});

test('bits beyond the end of the bitmap are lost', () => {
  const rig = new Tracked();
  rig.set();
  rig.write(A + 0x5000n, A + 0xf000n);
  expect(rig.get({}, 8)).toEqual([5]);
});

describe('refuses', () => {
  const plain: Command = { do: 'hwpt_alloc', dev: 'dev1', ioas: 'ioas', as: 'plain' };

  test.each<[what: string, how: Get | ((rig: Tracked) => Get), errno: string]>([
    ['an unknown flag', { flags: 2, hwpt: 99 }, 'EOPNOTSUPP'],
    ['reserved bits', { reserved: 1, hwpt: 99 }, 'EOPNOTSUPP'],
    ['a number that is nobody', { hwpt: 99, iova: 1n }, 'ENOENT'],
    ['a number of another kind', (rig) => ({ hwpt: rig.idOf('ioas') }), 'ENOENT'],
    ['a range that wraps', { iova: 2n ** 64n - 0x1000n, length: 0x2000n, pageSize: 0n }, 'EOVERFLOW'],
    ['a beginning within a page', { iova: A + 0x800n, pageSize: 0x800n }, 'EINVAL'],
    ['an end within a page', { length: 0x800n, pageSize: 0x800n }, 'EINVAL'],
    ['no page size', { pageSize: 0n }, 'EINVAL'],
    ['a beginning within a bit', { iova: A + 0x1000n, pageSize: 0x2000n }, 'EINVAL'],
    ['an end within a bit', { length: 0x3000n, pageSize: 0x2000n }, 'EINVAL'],
    ['pages larger than the range', { pageSize: 1n << 63n }, 'EINVAL'],
    ['a domain without dirty bits', (rig) => ({ hwpt: rig.idOf('plain') }), 'EOPNOTSUPP'],
    ['a wrong range even of such a domain first', (rig) => ({ hwpt: rig.idOf('plain'), pageSize: 0n }), 'EINVAL'],
  ])('GET of %s', (_, how, errno) => {
    const rig = new Tracked();
    rig.must(plain);
    expect(rig.get(typeof how === 'function' ? how(rig) : how)).toBe(errno);
  });

  test('SET of flags, of what is no HWPT, and of one without dirty bits, in that order', () => {
    const rig = new Tracked();
    rig.must(plain);
    expect([rig.set(2, 99), rig.set(1, 99), rig.set(1, rig.idOf('ioas')), rig.set(0, rig.idOf('plain'))]).toEqual([
      'EOPNOTSUPP',
      'ENOENT',
      'ENOENT',
      'EOPNOTSUPP',
    ]);
    rig.expectAtRest();
  });

  test('T-70: DIRTY_TRACKING of a device that cannot, and then the device, alone or in a group', () => {
    const rig = new Tracked();
    const before = rig.state(['hwpt']);
    expect(rig.do({ ...TRACKING, dev: 'dev1', as: 'other' })).toEqual({ err: 'EOPNOTSUPP' });
    expect(rig.attach('dev1', 'hwpt')).toEqual({ err: 'EINVAL' });
    expect(rig.state(['hwpt'])).toEqual(before);
    // To an IOAS it goes through a domain of its own, and cannot be moved from there.
    expect(rig.attach('dev1', 'ioas')).toEqual(OK);
    const attached = rig.state(['hwpt', 'dev1']);
    expect(rig.attach('dev1', 'hwpt')).toEqual({ err: 'EINVAL' });
    expect(rig.state(['hwpt', 'dev1'])).toEqual(attached);
  });
});

test('T-70: a group goes to a domain with dirty bits only if all of its attached devices can set them', () => {
  const devices = [...CONFIG.devices].map(([name, config]) => [name, { ...config, group: 0 }] as const);
  const rig = new Rig({ ...CONFIG, devices: new Map(devices) });
  for (const device of rig.machine.devices.values()) device.dirtyTracking = device.name === 'dev0';
  rig.must(TRACKING, { do: 'ioas_alloc', ctx: 'ctx', as: 'old' });
  rig.must({ do: 'vfio_attach', dev: 'dev0', pt: 'old' }, { do: 'vfio_attach', dev: 'dev1', pt: 'old' });
  const before = rig.state(['dev0'], ['ioas', 'old']);
  expect(rig.attach('dev0', 'hwpt')).toEqual({ err: 'EINVAL' });
  expect(rig.state(['dev0'], ['ioas', 'old'])).toEqual(before);
  rig.must({ do: 'vfio_detach', dev: 'dev1' });
  expect(rig.attach('dev0', 'hwpt')).toEqual(OK);
});

describe('V10: a length of 0', () => {
  test('is EINVAL on 7.3, wherever it is', () => {
    const rig = new Tracked(CONFIG, '7.3');
    expect([0n, A, A + 1n].map((iova) => rig.get({ iova, length: 0n }))).toEqual(['EINVAL', 'EINVAL', 'EINVAL']);
  });

  test('wraps on 7.2, but for IOVA 0: there it is all areas from 0 on', () => {
    const rig = new Tracked();
    rig.must({ do: 'ioas_map', ioas: 'ioas', mem: 'm', offset: 0n, length: 0x10000n, prot: 'rw', iova: 0n });
    rig.set();
    rig.write(0x5000n, A);
    expect(rig.get({ length: 0n })).toBe('EOVERFLOW');
    expect(rig.get({ iova: 0n, length: 0n, flags: DIRTY_BITMAP_NO_CLEAR })).toEqual([5]);
    expect(rig.get({ iova: 0n, length: 0n, pageSize: 0n })).toBe('EINVAL');
    // A bit may stand for as much as half of everything.
    for (const pageSize of [1n << 63n, 1n << 40n, 1n << 31n, 1n << 25n]) {
      expect(rig.get({ iova: 0n, length: 0n, pageSize, flags: DIRTY_BITMAP_NO_CLEAR })).toEqual([0]);
    }
    expect([rig.get({ iova: 0n, length: 0n }), rig.get({ iova: 0n })]).toEqual([[5], []]);
  });
});

test('GET without memory for its bitmap is ENOMEM, tells and forgets nothing', () => {
  const rig = new Tracked();
  rig.set();
  rig.write(A + 0x3000n);
  rig.machine.kernel.faults.arm(1);
  expect(rig.get()).toBe('ENOMEM');
  expect(rig.machine.kernel.faults.passed).toEqual(['iova_bitmap_alloc']);
  rig.machine.kernel.faults.disarm();
  expect(rig.get()).toEqual([3]);
});

test('a domain without dirty bits is written like any other, and keeps none', () => {
  const rig = new Tracked();
  rig.must({ do: 'vfio_attach', dev: 'dev1', pt: 'ioas' });
  const domain = rig.domain('dev1');
  expect([domain.hasDirtyOps, domain.write(fromBigint(A))]).toEqual([false, rig.backing('m').firstPfn * 4096]);
  const seen: unknown[] = [];
  domain.readDirty(fromBigint(A), fromBigint(A + 0xffffn), false, (...dirty) => seen.push(dirty));
  expect(seen).toEqual([]);
});
