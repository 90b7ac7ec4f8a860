/**
 * The accesses that an IOAS has: how one joins and leaves, and how all are told of an UNMAP.
 *
 * Source: drivers/iommu/iommufd/io_pagetable.c, iopt_add_access(), iopt_remove_access(); device.c,
 * iommufd_access_notify_unmap()
 */
import type { Errno } from '../kernel/errno.ts';
import { warnOn } from '../kernel/splat.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import type { Bytes, Iova } from '../kernel/units.ts';
import type { Access } from './access.ts';
import type { IoPagetable } from './io-pagetable.ts';

/**
 * iopt_add_access(): the areas must suit the access's alignment, even those in set-up.
 * Locks: caller holds access.ioas_lock; takes domains_rwsem W and iova_rwsem W
 * Fails: EADDRINUSE, ENOMEM; the alignment is as it was then
 */
export function* addAccess(iopt: IoPagetable, access: Access): Thread<Errno | undefined> {
  yield iopt.domainsRwsem.write;
  try {
    yield iopt.iovaRwsem.write;
    try {
      if (shouldFail('iopt_add_access')) return 'ENOMEM';
      iopt.accesses.add(access);
      const alignment = iopt.alignmentWith(iopt.domains);
      if (alignment > iopt.alignment && !iopt.allAligned(alignment)) {
        iopt.accesses.delete(access);
        return 'EADDRINUSE';
      }
      iopt.alignment = alignment;
      return undefined;
    } finally {
      iopt.iovaRwsem.releaseWrite();
    }
  } finally {
    iopt.domainsRwsem.releaseWrite();
  }
}

/** iopt_remove_access(): the alignment can only shrink. Locks: as addAccess() */
export function* removeAccess(iopt: IoPagetable, access: Access): Thread {
  yield iopt.domainsRwsem.write;
  try {
    yield iopt.iovaRwsem.write;
    try {
      warnOn(!iopt.accesses.delete(access), 'an access leaves an IOAS that does not have it');
      iopt.alignment = iopt.alignmentWith(iopt.domains);
    } finally {
      iopt.iovaRwsem.releaseWrite();
    }
  } finally {
    iopt.domainsRwsem.releaseWrite();
  }
}

/**
 * iommufd_access_notify_unmap(): ask every access to let go of [iova, iova + length), except those that nobody may ask.
 * One that is being destroyed lets go of its own accord.
 * Locks: none may be held, so that the callbacks may take theirs
 */
export function* notifyUnmap(iopt: IoPagetable, iova: Iova, length: Bytes): Thread {
  for (const access of iopt.accesses) {
    const { ctx, ops } = access;
    if (ops === undefined || !ctx.has(access)) continue;
    access.users++;
    yield* ops.unmap(iova, length);
    ctx.put(access);
  }
}
