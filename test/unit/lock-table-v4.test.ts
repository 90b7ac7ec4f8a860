/**
 * The table of operations and locks, for the operations of the unmerged series.
 *
 * Source: vfio-dmabuf 7.1, 7.2 (the rows of v4)
 */
import { expect, test } from 'vitest';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { CONFIG, OK, Rig } from './iommufd-rig.ts';
import { locksOf } from './lock-recorder.ts';

const mapBar: Command = { do: 'bar_mmap', dev: 'dev0', region: 2, offset: 0n, length: 0x1000n, as: 'v' };
const mapBuf: Command = { do: 'fd_mmap', fd: 'buf', offset: 0n, length: 0x1000n, as: 'w' };
const peekBar: Command = { do: 'peek', map: 'v', offset: 0n };
const peekBuf: Command = { do: 'peek', map: 'w', offset: 0n };
const off: Command = { do: 'vfio_memory', dev: 'dev0', enable: false };
const on: Command = { do: 'vfio_memory', dev: 'dev0', enable: true };
const revoke: Command = { do: 'vfio_dmabuf_revoke', dev: 'dev0', fd: 'buf' };
const close: Command = { do: 'vfio_close', dev: 'dev0' };

const value = (target: string): Result => ({ ok: { value: target } });
const SIGBUS: Result = { ok: { signal: 'SIGBUS' } };

/** A fault asks for a leaf of each order in turn: the lock of the buffer first, and never both at once. */
const TRY = 'dma_resv → memory_lock(R)';
const FAULT = `mmap_lock(R) ⊃ [ ${TRY} → ${TRY} → ${TRY} ]`;
const ENLIST = 'memory_lock(W) ⊃ dma_resv';
/** Importers and fences under the lock of the buffer; the zap when it is free again. */
const TAKE = 'dma_resv → i_mmap_rwsem(R)';

const ROWS: readonly (readonly [
  operation: string,
  before: readonly Command[],
  command: Command,
  answer: Result,
  locks: string,
])[] = [
  ['BAR mmap', [], mapBar, OK, `mmap_lock(W) ⊃ [ ${ENLIST} → i_mmap_rwsem(W) ]`],
  ['mmap of a buffer', [], mapBuf, OK, 'mmap_lock(W) ⊃ i_mmap_rwsem(W)'],
  ['buffer fault', [mapBuf], peekBuf, value('dev0:2+0x0'), FAULT],
  ['BAR fault', [mapBar], peekBar, value('dev0:2+0x0'), FAULT],
  ['buffer fault that is SIGBUS', [mapBuf, off], peekBuf, SIGBUS, 'mmap_lock(R) ⊃ dma_resv'],
  ['a read without a fault', [mapBuf, peekBuf], peekBuf, value('dev0:2+0x0'), ''],
  ['permanent revoke', [mapBuf, peekBuf], revoke, OK, `memory_lock(W) ⊃ [ ${TAKE} ]`],
  ['permanent revoke of what is revoked for now', [off], revoke, OK, 'memory_lock(W) ⊃ dma_resv'],
  ['permanent revoke again', [revoke], revoke, { err: 'EBADFD' }, 'memory_lock(W)'],
  ['MEMATTR', [], { do: 'vfio_dmabuf_memattr', dev: 'dev0', fd: 'buf', attr: 1 }, OK, ''],
  ['memory off, without a zap of BARs', [mapBar], off, OK, `memory_lock(W) ⊃ [ ${TAKE} → ${TAKE} ]`],
  ['memory on', [off], on, OK, 'memory_lock(W) ⊃ dma_resv'],
  ['memory on, with what is revoked for good', [revoke, off], on, OK, 'memory_lock(W)'],
  ['reset', [], { do: 'vfio_reset', dev: 'dev0' }, OK, `memory_lock(W) ⊃ [ ${TAKE} → dma_resv ]`],
  ['close of a device that is mapped', [mapBar], close, OK, ''],
  [
    'munmap of a BAR, whose buffer is released with no lock of the process held',
    [mapBar],
    { do: 'munmap', map: 'v' },
    OK,
    'mmap_lock(W) → mmap_lock(R) ⊃ i_mmap_rwsem(W) → memory_lock(W)',
  ],
];

test.each(ROWS)('%s takes the locks of its row, in that order', (_, before, command, answer, locks) => {
  const rig = new Rig(CONFIG, 'v4');
  rig.must(...before);
  expect(locksOf(rig, command, answer)).toBe(locks);
});
