/**
 * The table of operations and locks: what each call on a device takes, in which order, and what is nested in what.
 *
 * Source: vfio-dmabuf 7.1, 7.2
 */
import { expect, test } from 'vitest';
import type { Result } from '../../trace/answer.ts';
import type { BarMmap, Command, Peek } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import { A, CONFIG, OK, Rig } from './iommufd-rig.ts';
import { locksOf } from './lock-recorder.ts';

/** Two functions of one bus, dev0 with all that it needs to be put to sleep. */
const BUS: MachineConfig = {
  ...CONFIG,
  devices: new Map(
    ['dev0', 'dev1'].map((name, group) => [
      name,
      { bars: new Map([[2, 0x400000n]]), group, bus: 1, resets: ['flr', 'pm'] as const },
    ]),
  ),
};

const map: BarMmap = { do: 'bar_mmap', dev: 'dev0', region: 2, offset: 0n, length: 0x1000n, as: 'v' };
const touch: Peek = { do: 'peek', map: 'v', offset: 0n };
const close: Command = { do: 'vfio_close', dev: 'dev0' };
const export_: Command = { do: 'vfio_export', dev: 'dev0', region: 2, ranges: [[0n, 0x1000n]], as: 'more' };
const off: Command = { do: 'vfio_memory', dev: 'dev0', enable: false };

const value = (target: string): Result => ({ ok: { value: target } });

/** A revoke of the one buffer of dev0, and giving it back. */
const ZAP = 'i_mmap_rwsem(R)';
const REVOKE = 'dma_resv';
const RESTORE = 'dma_resv → dma_resv';
/** Buffers go, low power ends, the function sleeps: each takes memory_lock for itself. */
const CLOSE = `memory_lock(W) ⊃ ${REVOKE} → memory_lock(W) → memory_lock(W)`;

interface Row {
  readonly operation: string;
  readonly before?: readonly Command[];
  readonly command: Command;
  readonly answer?: Result;
  readonly locks: string;
}

const ROWS: readonly Row[] = [
  { operation: 'BAR mmap', command: map, locks: 'mmap_lock(W) ⊃ i_mmap_rwsem(W)' },
  {
    operation: 'BAR fault',
    before: [map],
    command: touch,
    answer: value('dev0:2+0x0'),
    locks: 'mmap_lock(R) ⊃ memory_lock(R)',
  },
  {
    operation: 'BAR fault that is SIGBUS',
    before: [map, off],
    command: touch,
    answer: { ok: { signal: 'SIGBUS' } },
    locks: 'mmap_lock(R) ⊃ memory_lock(R)',
  },
  { operation: 'a read without a fault', before: [map, touch], command: touch, answer: value('dev0:2+0x0'), locks: '' },
  {
    operation: 'munmap of a BAR, which keeps mmap_lock for reading once the mapping is out of reach',
    before: [map],
    command: { do: 'munmap', map: 'v' },
    locks: 'mmap_lock(W) → mmap_lock(R) ⊃ i_mmap_rwsem(W)',
  },
  {
    operation: 'munmap of a BAR whose device was closed, which closes it: no lock of the process is held then',
    before: [map, { do: 'iommufd_close', ctx: 'ctx' }, close],
    command: { do: 'munmap', map: 'v' },
    locks: `mmap_lock(W) → mmap_lock(R) ⊃ i_mmap_rwsem(W) → dev_set.lock ⊃ [ ${CLOSE} → iommu_group.mutex ]`,
  },
  {
    operation: 'munmap of a page in the middle of a BAR, which cuts its mapping twice',
    before: [{ ...map, length: 0x3000n }],
    command: { do: 'munmap', map: 'v', offset: 0x1000n, length: 0x1000n },
    locks: 'mmap_lock(W) ⊃ [ i_mmap_rwsem(W) → i_mmap_rwsem(W) ] → mmap_lock(R) ⊃ i_mmap_rwsem(W)',
  },
  {
    operation: 'fork with a mapped BAR',
    before: [map, touch],
    command: { do: 'fork', as: 'p' },
    locks: 'mmap_lock(W) ⊃ mmap_lock/nested(W) ⊃ i_mmap_rwsem(W)',
  },
  {
    operation: 'exit with a mapped BAR',
    before: [map, { do: 'fork', as: 'p' }],
    command: { do: 'exit', process: 'p' },
    locks: 'mmap_lock(W) ⊃ i_mmap_rwsem(W)',
  },
  {
    operation: "a child's fault of a BAR",
    before: [map, { do: 'fork', as: 'p' }],
    command: { ...touch, process: 'p' },
    answer: value('dev0:2+0x0'),
    locks: 'mmap_lock(R) ⊃ memory_lock(R)',
  },
  { operation: 'close', command: close, locks: `dev_set.lock ⊃ [ ${CLOSE} → iommu_group.mutex ]` },
  { operation: 'close of a device that is mapped', before: [map], command: close, locks: '' },
  { operation: 'export', command: export_, locks: 'memory_lock(W) ⊃ dma_resv' },
  { operation: 'memory off', command: off, locks: `memory_lock(W) ⊃ [ ${ZAP} → ${REVOKE} ]` },
  {
    operation: 'memory on',
    before: [off],
    command: { do: 'vfio_memory', dev: 'dev0', enable: true },
    locks: `memory_lock(W) ⊃ [ ${RESTORE} ]`,
  },
  ...(['vfio_reset', 'vfio_flr'] as const).map((what) => ({
    operation: what,
    command: { do: what, dev: 'dev0' },
    locks: `memory_lock(W) ⊃ [ ${ZAP} → ${REVOKE} → ${RESTORE} ]`,
  })),
  {
    operation: 'D3hot',
    command: { do: 'vfio_power', dev: 'dev0', state: 3 },
    locks: `memory_lock(W) ⊃ [ ${ZAP} → ${REVOKE} ]`,
  },
  {
    operation: 'hot reset, which takes every memory_lock by trylock, and revokes before it zaps',
    command: { do: 'vfio_hot_reset', dev: 'dev0' },
    locks: `dev_set.lock ⊃ memory_lock(W) ⊃ [ ${REVOKE} → ${ZAP} → memory_lock(W) ⊃ ${ZAP} → ${RESTORE} ]`,
  },
  {
    operation: 'buffer release',
    command: { do: 'fd_close', fd: 'buf' },
    locks: 'memory_lock(W)',
  },
  {
    operation: 'buffer release after the device has closed',
    before: [close],
    command: { do: 'fd_close', fd: 'buf' },
    locks: '',
  },
  {
    operation: 'iommufd map of a BAR that is mapped',
    before: [map, { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' }],
    command: { do: 'ioas_map', ioas: 'ioas', mem: 'v', offset: 0n, length: 0x1000n, prot: 'rw', iova: A },
    answer: { err: 'EFAULT' },
    locks: 'iova_rwsem(W) → domains_rwsem(R) ⊃ [ pages.mutex ⊃ mmap_lock(R) → iova_rwsem(W) ]',
  },
];

test.each(ROWS.map((row) => [row.operation, row] as const))(
  '%s takes the locks of its row, in that order',
  (_, row) => {
    const { before = [], command, answer = OK, locks } = row;
    const rig = new Rig(BUS);
    rig.must(...before);
    expect(locksOf(rig, command, answer)).toBe(locks);
  },
);
