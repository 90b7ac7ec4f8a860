/**
 * The buffers that a device knows: those that a revoke of the device takes back.
 *
 * Source: vfio-dmabuf 2.4, 1.6
 */
import { assertHeldWrite } from '../kernel/rwsem.ts';
import { warnOn } from '../kernel/splat.ts';
import type { Thread } from '../kernel/thread.ts';
import { memoryEnabled, type VfioPciDevice } from './pci-device.ts';
import type { VfioPciDmaBuf } from './pci-dmabuf.ts';

/**
 * The device knows the buffer from now on. It is born revoked while the memory is off, and never for good.
 * Locks: takes memory_lock for writing, and dma_resv inside
 */
export function* enlist(device: VfioPciDevice, priv: VfioPciDmaBuf): Thread {
  yield device.memoryLock.write;
  try {
    yield priv.dmabuf.resv;
    try {
      priv.status = memoryEnabled(device) ? 'OK' : 'TEMP_REVOKED';
      device.dmabufs.push(priv);
    } finally {
      priv.dmabuf.resv.release();
    }
  } finally {
    device.memoryLock.releaseWrite();
  }
}

/**
 * Take the buffer off its device's list. Whoever does this puts the registration, so it is put once.
 * Locks: caller holds memory_lock for writing
 */
export function unlist(device: VfioPciDevice, priv: VfioPciDmaBuf): void {
  assertHeldWrite(device.memoryLock);
  const at = device.dmabufs.indexOf(priv);
  warnOn(at < 0, () => `${priv.dmabuf.name} is not on the list of ${device.name}`);
  device.dmabufs.splice(at, 1);
}
