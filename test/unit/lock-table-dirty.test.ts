/**
 * The acquisition table, of dirty tracking: what devices have written is read while no area can come or go.
 *
 * Source: iommufd 4.3
 */
import { expect, test } from 'vitest';
import { DIRTY_TRACKING_ENABLE, getDirtyBitmap, setDirtyTracking } from '../../impl/iommufd/dirty.ts';
import { syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import { fromBigint } from '../../impl/kernel/units.ts';
import { A, CONFIG, mapFileOf, Rig } from './iommufd-rig.ts';
import { locksOfBranch } from './lock-recorder.ts';

const RANGE = { iova: fromBigint(A), length: fromBigint(0x4000n), pageSize: fromBigint(0x1000n) };

/** An area in a domain that can tell what its device writes. */
class Tracked extends Rig {
  constructor() {
    super(CONFIG, '7.2');
    for (const device of this.machine.devices.values()) device.dirtyTracking = true;
    this.must({ do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'hwpt', flags: 2n }, mapFileOf());
  }

  get hwptId(): number {
    const named = this.machine.names.get('hwpt');
    return named?.kind === 'object' ? named.object.id : 0;
  }
}

const ROWS: readonly (readonly [operation: string, thread: (rig: Tracked) => Thread<unknown>])[] = [
  ['dirty set, on', (rig) => setDirtyTracking(rig.ioas().ctx, rig.hwptId, DIRTY_TRACKING_ENABLE)],
  ['dirty set, off', (rig) => setDirtyTracking(rig.ioas().ctx, rig.hwptId, 0)],
  [
    'dirty get',
    (rig) => getDirtyBitmap(rig.ioas().ctx, rig.hwptId, { ...RANGE, flags: 0, reserved: 0 }, new Uint8Array(1)),
  ],
];

test.each(ROWS)('%s takes iova_rwsem for reading, and nothing else', (_, thread) => {
  const rig = new Tracked();
  const task = new Task('caller', rig.machine.kernel);
  expect(locksOfBranch({ task, thread: syscall(task, () => thread(rig)) }, undefined)).toBe('iova_rwsem(R)');
});
