/**
 * The acquisition table, of what accesses do and of CHANGE_PROCESS. `staccess.lock` is the driver's own.
 *
 * Source: iommufd 4.3
 */
import { expect, test } from 'vitest';
import { accessAttach, accessDestroy, accessDetach, accessReplace } from '../../impl/iommufd/access.ts';
import { accessPinPages, accessUnpinPages } from '../../impl/iommufd/access-pin.ts';
import { ACCESS_RW_SLOW_PATH, accessRw } from '../../impl/iommufd/access-rw.ts';
import { ioasChangeProcess } from '../../impl/iommufd/change-process.ts';
import { syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import { bytes, fromBigint } from '../../impl/kernel/units.ts';
import type { Command } from '../../trace/command.ts';
import { AccessRig, MAP } from './access-rig.ts';
import { A, mapFileOf, removed } from './iommufd-rig.ts';
import { locksOf, locksOfBranch } from './lock-recorder.ts';

const MEMFD: Command = { ...mapFileOf(), fd: 'f', iova: A + 0x8000n };
const other: Command = { do: 'ioas_alloc', ctx: 'ctx', as: 'other' };

const BINDING = 'access.ioas_lock';
const CHANGE = 'domains_rwsem(W) ⊃ iova_rwsem(W)';
const PINS = `${BINDING} ⊃ iova_rwsem(R)`;
/** The driver lets go of one pin. */
const CALLBACK = `staccess.lock ⊃ ${PINS} ⊃ pages.mutex`;
const UNMAP = 'domains_rwsem(R) ⊃';
const REMOVE = 'iova_rwsem(W) → pages.mutex → iova_rwsem(W)';

interface Row {
  readonly operation: string;
  /** Prepares, and gives what is recorded. */
  readonly thread: (rig: AccessRig, access: ReturnType<AccessRig['create']>) => Thread<unknown>;
  readonly answer?: unknown;
  readonly locks: string;
}

const pinned = (rig: AccessRig, mock: ReturnType<AccessRig['create']>): void => {
  expect(rig.pin(mock, A, 0x1000n)).toBe(0);
};
const rw = (rig: AccessRig, mock: ReturnType<AccessRig['create']>, iova: bigint, length: number, flags = 0) =>
  accessRw(mock.access, fromBigint(iova), new Uint8Array(length), flags, rig.machine.mm);

const ROWS: readonly Row[] = [
  {
    operation: 'access detach, which calls the driver with ioas_lock dropped',
    thread: (rig, mock) => {
      pinned(rig, mock);
      return accessDetach(mock.access);
    },
    locks: `${BINDING} → ${CALLBACK} → ${BINDING} ⊃ ${CHANGE}`,
  },
  {
    operation: 'access attach',
    thread: (rig, mock) => {
      rig.call(accessDetach(mock.access));
      return accessAttach(mock.access, rig.ioas().id);
    },
    locks: `${BINDING} ⊃ ${CHANGE}`,
  },
  {
    operation: 'access replace, which joins the new IOAS before it leaves the old',
    thread: (rig, mock) => accessReplace(mock.access, rig.ioas('other').id),
    locks: `${BINDING} ⊃ ${CHANGE} → staccess.lock → ${BINDING} ⊃ ${CHANGE}`,
  },
  {
    operation: 'access destroy',
    thread: (_, mock) => accessDestroy(mock.access),
    locks: `${BINDING} → staccess.lock → ${BINDING} ⊃ ${CHANGE}`,
  },
  {
    operation: 'pin, of two areas',
    thread: (_, mock) => accessPinPages(mock.access, fromBigint(A + 0x7000n), bytes(0x2000), true),
    answer: expect.any(Array),
    locks: `${PINS} ⊃ [ pages.mutex ⊃ mmap_lock(R) → pages.mutex ]`,
  },
  {
    operation: 'unpin',
    thread: (rig, mock) => {
      pinned(rig, mock);
      return accessUnpinPages(mock.access, fromBigint(A), bytes(0x1000));
    },
    locks: `${PINS} ⊃ pages.mutex`,
  },
  {
    operation: 'rw of memory of the process itself',
    thread: (rig, mock) => rw(rig, mock, A, 0x2000),
    locks: PINS,
  },
  {
    operation: 'rw of one page, as another process',
    thread: (rig, mock) => rw(rig, mock, A, 0x10, ACCESS_RW_SLOW_PATH),
    locks: `${PINS} ⊃ mmap_lock(R)`,
  },
  {
    operation: 'rw on the slow path',
    thread: (rig, mock) => rw(rig, mock, A, 0x2000, ACCESS_RW_SLOW_PATH),
    locks: `${PINS} ⊃ pages.mutex ⊃ mmap_lock(R)`,
  },
  {
    operation: 'rw of a file',
    thread: (rig, mock) => rw(rig, mock, A + 0x8000n, 0x10),
    locks: `${PINS} ⊃ pages.mutex`,
  },
  {
    operation: 'CHANGE_PROCESS, of three IOASes',
    thread: (rig) => {
      rig.must({ do: 'ioas_unmap', ioas: 'ioas', iova: A, length: 0x8000n }, { ...other, as: 'third' } as Command);
      return ioasChangeProcess(rig.ioas().ctx, 0, () => undefined);
    },
    locks: 'ioas_creation_lock(W) ⊃ iova_rwsem(W) ⊃ iova_rwsem(W) ⊃ iova_rwsem(W)',
  },
];

test.each(ROWS.map((row) => [row.operation, row] as const))(
  '%s takes the locks of its row, in that order',
  (_, { thread, answer = undefined, locks }) => {
    const rig = new AccessRig([MAP, MEMFD, other]);
    const recorded = thread(rig, rig.create());
    const task = new Task('driver', rig.machine.kernel);
    expect(locksOfBranch({ task, thread: syscall(task, () => recorded) }, answer)).toBe(locks);
  },
);

test('UNMAP of what an access has pinned holds nothing while the driver lets go, and begins anew', () => {
  const rig = new AccessRig([MAP]);
  pinned(rig, rig.create());
  const unmap: Command = { do: 'ioas_unmap', ioas: 'ioas', iova: A, length: 0x8000n };
  expect(locksOf(rig, unmap, removed(0x8000n))).toBe(`${UNMAP} iova_rwsem(W) → ${CALLBACK} → ${UNMAP} [ ${REMOVE} ]`);
});
