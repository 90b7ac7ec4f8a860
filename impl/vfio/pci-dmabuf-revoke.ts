/** The revoke engine: takes a device's buffers back before its memory goes away, and gives them back afterwards. */
import { invalidateMappings } from '../dmabuf/attachment.ts';
import { USAGE } from '../dmabuf/resv.ts';
import { assertHeldWrite } from '../kernel/rwsem.ts';
import { current, type Thread } from '../kernel/thread.ts';
import { memoryEnabled, type VfioPciDevice } from './pci-device.ts';
import { putToken, unlist, type VfioPciDmaBuf } from './pci-dmabuf.ts';
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
  for (const priv of device.dmabufs) {
    const { file } = priv.dmabuf;
    if (!file.getActive()) continue;
    if (priv.revoked !== revoked) yield* revoked ? revoke(priv) : restore(priv);
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
 * The buffer's memory goes away. On return nothing reaches it: new maps are refused, all fences have signaled, and
 * every map is gone. There is no timeout: an importer that never unmaps stops the device here.
 */
function* revoke(priv: VfioPciDmaBuf): Thread {
  const { dmabuf, kref, comp } = priv;
  yield dmabuf.resv;
  try {
    priv.revoked = true;
    priv.revocations++;
    yield* invalidateAndWait(priv);
  } finally {
    dmabuf.resv.release();
  }
  if (!waits()) return;
  // Importers need dma_resv to unmap, so this wait must not hold it.
  putToken(priv);
  yield comp;
  // From here on the token is that of a new buffer; nobody can have taken it meanwhile, since maps are refused.
  kref.rearm();
  comp.reset();
}

/** Whether this kernel waits for importers at all; one that does not has nothing to say to them in the end, either. */
const waits = (): boolean => current().kernel.features.revokeDrains;

/** The memory is back. The importers are called once more, although none of them can have a map. */
function* restore(priv: VfioPciDmaBuf): Thread {
  const { resv } = priv.dmabuf;
  if (waits()) {
    yield resv;
    try {
      yield* invalidateAndWait(priv);
    } finally {
      resv.release();
    }
  }
  yield resv;
  try {
    priv.revoked = false;
  } finally {
    resv.release();
  }
}

/** Locks: caller holds dma_resv, and keeps it while it waits: fences signal without it. */
function* invalidateAndWait({ dmabuf }: VfioPciDmaBuf): Thread {
  if (dmabuf.attached > 0) yield* invalidateMappings(dmabuf);
  // Every usage: an importer's own work may be BOOKKEEP. With the lock held no fence is added, so none needs no wait.
  if (waits() && !dmabuf.resv.testSignaled(USAGE.BOOKKEEP)) yield dmabuf.resv.fencesSignaled(USAGE.BOOKKEEP);
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
      unlist(device, priv);
      priv.vdev = undefined;
      putRegistration(device);
      file.put();
    }
  } finally {
    device.memoryLock.releaseWrite();
  }
}
