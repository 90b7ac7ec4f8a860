/** The revoke engine: takes a device's buffers back before its memory goes away, and gives them back afterwards. */
import { invalidateMappings } from '../dmabuf/attachment.ts';
import { USAGE } from '../dmabuf/resv.ts';
import { unmapMappingRange } from '../kernel/address-space.ts';
import { assertHeldWrite } from '../kernel/rwsem.ts';
import { unreachable } from '../kernel/splat.ts';
import { current, type Thread } from '../kernel/thread.ts';
import { PAGE_SIZE } from '../kernel/units.ts';
import { memoryEnabled, type VfioPciDevice } from './pci-device.ts';
import type { VfioPciDmaBuf } from './pci-dmabuf.ts';
import { unlist } from './pci-dmabuf-list.ts';
import { type Effect, type Event, type HeldEffect, type Status, transitionOf } from './pci-dmabuf-status.ts';
import { drainToken, rearmToken } from './pci-dmabuf-token.ts';
import { putRegistration } from './registration.ts';

/**
 * `vfio_pci_dma_buf_move()`: revoke all buffers of the device, or give them all back; those already so are left
 * alone. The oldest export comes first, and a slow importer of one holds up all the rest. A buffer whose last file
 * reference is gone is passed over: its own release takes it off the list.
 * Locks:  caller holds memory_lock for writing, so the list stands still; takes dma_resv of each buffer
 * Source: drivers/vfio/pci/vfio_pci_dmabuf.c
 */
export function* vfioPciDmaBufMove(device: VfioPciDevice, revoked: boolean): Thread {
  assertHeldWrite(device.memoryLock);
  const event = revoked ? 'move(true)' : 'move(false)';
  for (const priv of device.dmabufs) {
    const { file } = priv.dmabuf;
    if (!file.getActive()) continue;
    if (transitionOf(priv.state, event).next !== priv.state) yield* follow(priv, event);
    file.put();
  }
}

/**
 * `vfio_pci_dma_buf_move(vdev, false)`, if the function would now answer: the end of most operations that revoked.
 * Locks: caller holds memory_lock for writing
 */
export function* restoreIfEnabled(device: VfioPciDevice): Thread {
  if (memoryEnabled(device)) yield* vfioPciDmaBufMove(device, false);
}

/**
 * What the table says that an event does to a buffer that it changes. After a revoke nothing reaches the buffer: new
 * maps are refused, all fences have signaled, every map is gone, and so are the CPU's entries. There is no timeout: an
 * importer that never unmaps stops the device here.
 * Locks: caller holds memory_lock for writing; takes dma_resv, and for a zap i_mmap_rwsem
 */
export function* follow(priv: VfioPciDmaBuf, event: Event): Thread {
  const from = priv.state;
  const { next, held, after } = transitionOf(from, event);
  const { resv } = priv.dmabuf;
  if (next === 'OK') yield* tellOfRestore(priv);
  yield resv;
  try {
    priv.status = next as Status;
    if (from === 'OK') priv.revocations++;
    for (const effect of held) yield* doHeld(effect, priv);
  } finally {
    resv.release();
  }
  for (const effect of after) yield* doAfter(effect, priv);
}

/** Whether this kernel waits for importers at all; one that does not has nothing to say to them in the end, either. */
const waits = (): boolean => current().kernel.features.revokeDrains;

/** Up to 7.3 the importers are called once more before the buffer is usable, although none of them can have a map. */
function* tellOfRestore(priv: VfioPciDmaBuf): Thread {
  if (!waits() || current().kernel.features.restoresSilently) return;
  const { resv } = priv.dmabuf;
  yield resv;
  try {
    yield* doHeld('invalidate', priv);
    yield* doHeld('wait for fences', priv);
  } finally {
    resv.release();
  }
}

/** Locks: caller holds dma_resv, and keeps it while it waits: fences signal without it. */
function* doHeld(effect: HeldEffect, { dmabuf }: VfioPciDmaBuf): Thread {
  switch (effect) {
    case 'invalidate':
      if (dmabuf.attached > 0) yield* invalidateMappings(dmabuf);
      return;
    case 'wait for fences':
      // Every usage: an importer's work may be BOOKKEEP.
      if (waits()) yield* dmabuf.resv.wait(USAGE.BOOKKEEP);
      return;
    default:
      unreachable(effect);
  }
}

/** Importers need dma_resv to unmap, so none of this holds it. */
function* doAfter(effect: Effect, priv: VfioPciDmaBuf): Thread {
  switch (effect) {
    case 'drain':
      if (waits()) yield* drainToken(priv);
      return;
    case 'zap':
      if (current().kernel.features.mapsBuffers) yield* zapBuffer(priv);
      return;
    case 're-arm':
      if (waits()) rearmToken(priv);
      return;
    default:
      unreachable(effect);
  }
}

/**
 * No process has an entry for a page of the buffer any more. As it is written the series looks for mappings that show
 * pages from 0 to the size of the buffer; those of a BAR have the number of the region above that.
 * Locks: takes i_mmap_rwsem for reading
 */
function* zapBuffer({ dmabuf }: VfioPciDmaBuf): Thread {
  const everywhere = current().kernel.features.zapsEveryMapping;
  yield* unmapMappingRange(dmabuf.mapping, 0, (everywhere ? dmabuf.endPage : dmabuf.size / PAGE_SIZE) - 1);
}

/**
 * `vfio_pci_dma_buf_cleanup()`: the device closes. Its buffers are revoked for good and forget their device; what is
 * revoked already is not drained again.
 * Locks: takes memory_lock for writing
 */
export function* vfioPciDmaBufCleanup(device: VfioPciDevice): Thread {
  yield device.memoryLock.write;
  try {
    yield* vfioPciDmaBufMove(device, true);
    for (const priv of [...device.dmabufs]) {
      const { file } = priv.dmabuf;
      if (!file.getActive()) continue;
      transitionOf(priv.state, 'forget');
      unlist(device, priv);
      priv.vdev = undefined;
      putRegistration(device);
      file.put();
    }
  } finally {
    device.memoryLock.releaseWrite();
  }
}
