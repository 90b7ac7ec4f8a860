/** Fences that user space puts into a buffer, by any descriptor of it. */
import type { Errno } from '../kernel/errno.ts';
import { isErrno } from '../kernel/errno.ts';
import { type FdTable, File } from '../kernel/file.ts';
import type { Thread } from '../kernel/thread.ts';
import { dmaBufGet, dmaBufPut } from './dma-buf.ts';
import { Fence, USAGE } from './resv.ts';

/** DMA_BUF_SYNC_READ and _WRITE. */
export const SYNC_READ = 1;
export const SYNC_WRITE = 2;

/** `sync_file`: a descriptor of a fence. */
export function syncFile(fence: Fence): File {
  return new File(`sync file ${fence.name}`, fence, nothing);
}

function* nothing(): Thread {}

/**
 * DMA_BUF_IOCTL_IMPORT_SYNC_FILE: everybody who uses the buffer waits for the fence from now on. So any holder of a
 * descriptor can hold up a revoke, until the fence signals.
 * Locks: takes dma_resv
 * Fails: EBADF; EINVAL for unknown flags or none, and for what is no sync file; ENOMEM
 * Source: vfio-dmabuf 4.1
 */
export function* importSyncFile(fds: FdTable, fd: number, flags: number, syncFd: number): Thread<Errno | undefined> {
  const dmabuf = dmaBufGet(fds, fd);
  if (isErrno(dmabuf)) return dmabuf;
  try {
    if ((flags & ~(SYNC_READ | SYNC_WRITE)) !== 0 || flags === 0) return 'EINVAL';
    const fence = fds.lookup(syncFd)?.what;
    if (!(fence instanceof Fence)) return 'EINVAL';
    const { resv } = dmabuf;
    yield resv;
    try {
      const failed = resv.reserveFences(1);
      if (failed === undefined) resv.addFence(fence, flags & SYNC_WRITE ? USAGE.WRITE : USAGE.READ);
      return failed;
    } finally {
      resv.release();
    }
  } finally {
    dmaBufPut(dmabuf);
  }
}
