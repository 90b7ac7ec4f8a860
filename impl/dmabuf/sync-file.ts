/** Fences between a buffer and user space, by any descriptor of it: put in, taken out, waited for. */
import type { Errno } from '../kernel/errno.ts';
import { isErrno } from '../kernel/errno.ts';
import { type FdTable, File } from '../kernel/file.ts';
import type { Thread } from '../kernel/thread.ts';
import { dmaBufGet, dmaBufPut } from './dma-buf.ts';
import { Fence, USAGE, type Usage } from './resv.ts';

/** DMA_BUF_SYNC_READ, _WRITE and _END. */
export const SYNC_READ = 1;
export const SYNC_WRITE = 2;
export const SYNC_END = 4;

/** `dma_resv_usage_rw()`: who writes waits for everybody, who reads for those who write. */
const usageFor = (flags: number): Usage => (flags & SYNC_WRITE ? USAGE.READ : USAGE.WRITE);

/** Neither to read nor to write, or anything else besides. */
const isUnknown = (flags: number, known: number): boolean =>
  (flags & ~known) !== 0 || (flags & (SYNC_READ | SYNC_WRITE)) === 0;

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
    if (isUnknown(flags, SYNC_READ | SYNC_WRITE)) return 'EINVAL';
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

/**
 * DMA_BUF_IOCTL_SYNC: the CPU begins to use the buffer when those who use it otherwise are done, in whatever state the
 * buffer is; it ends without a wait. Exporters of this machine have no say in it.
 * Locks: none; waits for fences
 * Fails: EBADF; EINVAL for unknown flags, or neither to read nor to write
 */
export function* syncCpuAccess(fds: FdTable, fd: number, flags: number): Thread<Errno | undefined> {
  const dmabuf = dmaBufGet(fds, fd);
  if (isErrno(dmabuf)) return dmabuf;
  try {
    if (isUnknown(flags, SYNC_READ | SYNC_WRITE | SYNC_END)) return 'EINVAL';
    if ((flags & SYNC_END) === 0) yield dmabuf.resv.fencesSignaled(usageFor(flags));
    return undefined;
  } finally {
    dmaBufPut(dmabuf);
  }
}
