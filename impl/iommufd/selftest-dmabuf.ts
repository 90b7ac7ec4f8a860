/**
 * The test exporter of dma-bufs: memory of the kernel's own, revoked and restored by an ioctl. It keeps no count of
 * who has mapped it, and tells every importer whichever way the ioctl goes.
 *
 * Source: drivers/iommu/iommufd/selftest.c
 */
import { type Attachment, invalidateMappings } from '../dmabuf/attachment.ts';
import { type DmaBuf, type DmaBufOps, dmaBufExport, dmaBufFd, dmaBufGet, dmaBufPut } from '../dmabuf/dma-buf.ts';
import type { PhysVec } from '../dmabuf/sg-table.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import type { FdTable } from '../kernel/file.ts';
import { physOf, type Ram } from '../kernel/mm.ts';
import { assertHeld } from '../kernel/mutex.ts';
import { warnOn } from '../kernel/splat.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import { atMost, type Bytes, isZero, PAGE_SIZE, u64 } from '../kernel/units.ts';

/** The longest buffer, in pages. */
const MOST_PAGES = 512;

class TestDmaBuf {
  readonly physVec: readonly [PhysVec];
  /** Protected by dma_resv. */
  revoked = false;
  /** Ghost, for observers only: how often it was revoked or restored, which to an importer is the same. */
  revocations = 0;

  constructor(memory: PhysVec) {
    this.physVec = [memory];
  }
}

/** Importers other than iommufd may attach, and can map nothing. */
const iommufdTestDmaBufOps: DmaBufOps = {
  mapDmaBuf: () => 'EOPNOTSUPP',
  unmapDmaBuf: ({ dmabuf }) => warnOn(true, `${dmabuf.name} is unmapped, which nobody can have mapped`),
  *release(): Thread {},
};

/**
 * IOMMU_TEST_OP_DMABUF_GET: a new buffer of `length` bytes, rounded up to pages, and its descriptor.
 * Fails: EINVAL for no length or more than 512 pages; ENOMEM, EMFILE
 */
export function iommufdTestDmabufGet(name: string, length: Bytes, ram: Ram, fds: FdTable): number | Errno {
  if (isZero(length) || !atMost(length, u64(MOST_PAGES, 0))) return 'EINVAL';
  if (shouldFail('iommufd_test_dmabuf_get')) return 'ENOMEM';
  const backing = ram.allocate(name, length);
  if (isErrno(backing)) return backing;
  const len = backing.pages * PAGE_SIZE;
  const priv = new TestDmaBuf({ paddr: physOf(backing.firstPfn, 0), len });
  const dmabuf = dmaBufExport(name, len, iommufdTestDmaBufOps, priv);
  if (isErrno(dmabuf)) return dmabuf;
  const fd = dmaBufFd(dmabuf, fds);
  if (isErrno(fd)) dmaBufPut(dmabuf);
  return fd;
}

/**
 * IOMMU_TEST_OP_DMABUF_REVOKE: take the buffer back, or give it back; every importer is called either way, and to an
 * importer each call is a revoke.
 * Locks: takes dma_resv
 * Fails: EBADF; EINVAL for what is no dma-buf, EOPNOTSUPP for that of another exporter
 */
export function* iommufdTestDmabufRevoke(fds: FdTable, fd: number, revoked: boolean): Thread<Errno | undefined> {
  const dmabuf = dmaBufGet(fds, fd);
  if (isErrno(dmabuf)) return dmabuf;
  try {
    const priv = testDmaBufOf(dmabuf);
    if (priv === undefined) return 'EOPNOTSUPP';
    yield dmabuf.resv;
    try {
      priv.revoked = revoked;
      priv.revocations++;
      yield* invalidateMappings(dmabuf);
    } finally {
      dmabuf.resv.release();
    }
    return undefined;
  } finally {
    dmaBufPut(dmabuf);
  }
}

/**
 * iommufd_test_dma_buf_iommufd_map(): where the buffer lies.
 * Locks: caller holds dma_resv
 * Fails: EOPNOTSUPP for another exporter's buffer, ENODEV while revoked
 */
export function iommufdTestDmaBufIommufdMap({ dmabuf }: Attachment): PhysVec | Errno {
  assertHeld(dmabuf.resv);
  const priv = testDmaBufOf(dmabuf);
  if (priv === undefined) return 'EOPNOTSUPP';
  return priv.revoked ? 'ENODEV' : priv.physVec[0];
}

/** Undefined for the buffer of another exporter. */
export const testDmaBufOf = ({ ops, priv }: DmaBuf): TestDmaBuf | undefined =>
  ops === iommufdTestDmaBufOps ? (priv as TestDmaBuf) : undefined;
