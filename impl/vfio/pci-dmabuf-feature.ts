/**
 * What the unmerged series lets the user say of one buffer, on the descriptor of its device: that it is revoked for
 * good, and how mappings of it treat the memory. Older kernels know of neither: ENOTTY.
 *
 * Source: vfio-dmabuf 6.7, 6.8
 */
import { dmaBufGet, dmaBufPut } from '../dmabuf/dma-buf.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import type { FdTable } from '../kernel/file.ts';
import { current, preempt, type Thread } from '../kernel/thread.ts';
import type { VfioPciDevice } from './pci-device.ts';
import { type VfioPciDmaBuf, vfioPciDmaBufOf } from './pci-dmabuf.ts';
import { follow } from './pci-dmabuf-revoke.ts';
import { transitionOf } from './pci-dmabuf-status.ts';
import { MEMATTRS } from './pfn-map.ts';

/**
 * VFIO_DEVICE_FEATURE_DMA_BUF_REVOKE: this buffer is revoked for good, and no other is touched, wherever it lies. Takes
 * as long as its importers do.
 * Locks: takes memory_lock for writing
 * Fails: EBADF, EINVAL for what is no dma-buf; ENODEV for one of another exporter or device; EBADFD when done before
 */
export function* revokeForGood(device: VfioPciDevice, fd: number, fds: FdTable): Thread<Errno | undefined> {
  if (!current().kernel.features.revokesForGood) return 'ENOTTY';
  const priv = yield* ownBuffer(device, fd, fds);
  if (isErrno(priv)) return priv;
  yield device.memoryLock.write;
  try {
    const { answer } = transitionOf(priv.state, 'DMA_BUF_REVOKE');
    if (answer === undefined) yield* follow(priv, 'DMA_BUF_REVOKE');
    return answer as Errno | undefined;
  } finally {
    device.memoryLock.releaseWrite();
    dmaBufPut(priv.dmabuf);
  }
}

/**
 * VFIO_DEVICE_FEATURE_DMA_BUF_MEMATTR: how mappings of the buffer to come treat the memory, in whatever state it is.
 * Locks: none
 * Fails: as a revoke for good; ENOENT for an attribute that there is not
 */
export function* setMemAttr(device: VfioPciDevice, fd: number, attr: number, fds: FdTable): Thread<Errno | undefined> {
  if (!current().kernel.features.revokesForGood) return 'ENOTTY';
  const priv = yield* ownBuffer(device, fd, fds);
  if (isErrno(priv)) return priv;
  const memattr = MEMATTRS[attr];
  if (memattr !== undefined) priv.memattr = memattr;
  dmaBufPut(priv.dmabuf);
  return memattr === undefined ? 'ENOENT' : undefined;
}

/** The buffer of this device behind a descriptor, with a file reference. Whose it is, is read without a lock. */
function* ownBuffer(device: VfioPciDevice, fd: number, fds: FdTable): Thread<VfioPciDmaBuf | Errno> {
  const dmabuf = dmaBufGet(fds, fd);
  if (isErrno(dmabuf)) return dmabuf;
  yield preempt;
  const priv = vfioPciDmaBufOf(dmabuf);
  if (priv?.vdev === device) return priv;
  dmaBufPut(dmabuf);
  return 'ENODEV';
}
