/**
 * Whether an IOAS is mapped with the largest pages that fit, or page by page.
 *
 * Source: drivers/iommu/iommufd/io_pagetable.c, iopt_enable_large_pages(), iopt_disable_large_pages()
 */
import type { Errno } from '../kernel/errno.ts';
import { warnOn } from '../kernel/splat.ts';
import type { Thread } from '../kernel/thread.ts';
import type { IoPagetable } from './io-pagetable.ts';

/** Page by page, from now on. Fails: EINVAL once a domain maps areas, EADDRINUSE for an area that is no whole pages */
export function* disableLargePages(iopt: IoPagetable): Thread<Errno | undefined> {
  return yield* locked(iopt, () => {
    if (iopt.disableLargePages) return undefined;
    if (iopt.domains.length > 0 && iopt.areas.size > 0) return 'EINVAL';
    iopt.disableLargePages = true;
    const failed = iopt.calculateAlignment();
    if (failed !== undefined) iopt.disableLargePages = false;
    return failed;
  });
}

/** What is mapped already stays as it is. */
export function* enableLargePages(iopt: IoPagetable): Thread {
  yield* locked(iopt, () => {
    iopt.disableLargePages = false;
    const failed = iopt.calculateAlignment();
    warnOn(failed !== undefined, 'an alignment that cannot grow has grown');
    return failed;
  });
}

/** Locks: takes domains_rwsem W, and iova_rwsem W inside */
function* locked(iopt: IoPagetable, change: () => Errno | undefined): Thread<Errno | undefined> {
  yield iopt.domainsRwsem.write;
  try {
    yield iopt.iovaRwsem.write;
    try {
      return change();
    } finally {
      iopt.iovaRwsem.releaseWrite();
    }
  } finally {
    iopt.domainsRwsem.releaseWrite();
  }
}
