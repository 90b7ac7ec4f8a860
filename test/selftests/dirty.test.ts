/**
 * The kernel's selftests of dirty tracking, as far as they ask for no capability and no PASID.
 *
 * Source: iommufd 6.4 (T-70 to T-72)
 */
import { expect, test } from 'vitest';
import {
  DIRTY_BITMAP_NO_CLEAR,
  DIRTY_TRACKING_ENABLE,
  getDirtyBitmap,
  setDirtyTracking,
} from '../../impl/iommufd/dirty.ts';
import { fromBigint } from '../../impl/kernel/units.ts';
import type { Command } from '../../trace/command.ts';
import { A, OK } from '../unit/iommufd-rig.ts';
import { P, Selftest } from './rig.ts';

const PAGES = 64;
const LENGTH = BigInt(PAGES) * P;
const TRACKING: Command = { do: 'hwpt_alloc', dev: 'md0', ioas: 'ioas', as: 'dirty', flags: 2n };

/** A device, and a HWPT on its IOAS that tracks. */
function open(): Selftest {
  const it = new Selftest(1);
  it.allocate('l', LENGTH);
  it.must(TRACKING);
  return it;
}

const set = (it: Selftest, flags: number): unknown => it.call(setDirtyTracking(it.ioas().ctx, it.idOf('dirty'), flags));

test('iommufd_dirty_tracking.enforce_dirty: a device that cannot tell is not attached, and gets no such HWPT', () => {
  const it = open();
  const other = it.att();
  const device = it.machine.mocks.get(other);
  Object.assign(device ?? {}, { dirtyTracking: false });
  expect(it.replaceDevice(other, 'dirty')).toBe('EINVAL');
  expect(it.do({ ...TRACKING, dev: other, as: 'another' })).toEqual({ err: 'EOPNOTSUPP' });
  expect([it.replaceDevice('md0', 'dirty'), it.do({ ...TRACKING, as: 'another' })]).toEqual([undefined, OK]);
  it.teardown();
});

test('iommufd_dirty_tracking.set: tracking is enabled, and disabled', () => {
  const it = open();
  expect([set(it, DIRTY_TRACKING_ENABLE), set(it, 0)]).toEqual([undefined, undefined]);
  it.teardown();
});

test.each([
  ['get_dirty_bitmap', 0],
  ['get_dirty_bitmap_no_clear', DIRTY_BITMAP_NO_CLEAR],
])('iommufd_dirty_tracking.%s: exactly what was written, wherever the bitmap begins', (_, flags) => {
  const it = open();
  // As 7.3 tests it; here on 7.2, too, a large leaf is dirty as a whole.
  it.must({ do: 'ioas_option_huge_pages', ioas: 'ioas', enable: false });
  expect(it.mapF(0n, LENGTH, A, 'l')).toHaveProperty('ok');
  expect([it.replaceDevice('md0', 'dirty'), set(it, DIRTY_TRACKING_ENABLE)]).toEqual([undefined, undefined]);
  const range = { iova: fromBigint(A), length: fromBigint(LENGTH), pageSize: fromBigint(P) };
  const get = (bitmap: Uint8Array, how: number): number[] => {
    const args = { ...range, flags: how, reserved: 0 };
    expect(it.call(getDirtyBitmap(it.ioas().ctx, it.idOf('dirty'), args, bitmap))).toBeUndefined();
    return Array.from({ length: PAGES }, (_unused, i) => i).filter((i) => ((bitmap[i >> 3] ?? 0) >> (i & 7)) & 1);
  };
  const even = Array.from({ length: PAGES / 2 }, (_unused, i) => 2 * i);
  const memory = new Uint8Array(64);
  for (const start of [0, 8, 3]) {
    for (const page of even) it.domain('md0').write(fromBigint(A + BigInt(page) * P));
    memory.fill(0);
    const bitmap = memory.subarray(start, start + PAGES / 8);
    expect(get(bitmap, flags)).toEqual(even);
    expect([memory.slice(0, start), memory.slice(start + PAGES / 8)].flatMap((rest) => [...rest])).toEqual(
      Array(64 - PAGES / 8).fill(0),
    );
    bitmap.fill(0);
    expect(get(bitmap, flags)).toEqual(flags === 0 ? [] : even);
    get(bitmap, 0);
  }
  it.teardown();
});
