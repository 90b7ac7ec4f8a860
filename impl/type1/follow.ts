/**
 * What a page table entry of a PFN map says. The number is true at that moment, and not one longer: whoever
 * takes the memory away needs no mmap_lock, and does not look for those who have read it here.
 *
 * Source: drivers/vfio/vfio_iommu_type1.c, follow_fault_pfn(); mm/memory.c, follow_pfnmap_start()
 */
import type { UserPage } from '../kernel/cpu-page-table.ts';
import type { Errno } from '../kernel/errno.ts';
import { faultLocked, handleMmFault } from '../kernel/fault.ts';
import { assertHeldAny } from '../kernel/rwsem.ts';
import { preempt, shouldFail, type Thread } from '../kernel/thread.ts';
import type { Pfn } from '../kernel/units.ts';
import type { Vma } from '../kernel/vma.ts';

/** The page's number, and how many pages follow in the same leaf, with it. */
interface Followed {
  readonly pfn: Pfn;
  readonly pages: number;
}

/**
 * `follow_fault_pfn()`: the number of a page of a PFN map; an entry is made first where there is none.
 * Locks: caller holds mmap_lock for reading; after EAGAIN somebody else may have had it in between
 * Fails: EFAULT where nothing answers, or may not be written; ENOMEM for want of a table; EINVAL for an entry that is
 *        gone again; EAGAIN: look the mapping up once more
 */
export function* followFaultPfn(vma: Vma, page: UserPage, write: boolean): Thread<Followed | Errno> {
  const { mmapLock } = vma.mm;
  assertHeldAny(mmapLock);
  if (!permits(vma, write)) return 'EFAULT';
  yield preempt; // A zap asks for no mmap_lock.
  let found = followPfnmap(vma, page);
  if (found === undefined) {
    if (shouldFail('VM_FAULT_RETRY')) return yield* faultUnlocked(vma, page);
    const fault = yield* faultLocked(vma, page);
    if (fault !== 'NOPAGE') return fault === 'OOM' ? 'ENOMEM' : 'EFAULT';
    yield preempt;
    found = followPfnmap(vma, page);
  }
  return found ?? 'EINVAL';
}

/** `vma_permits_fault()`: a mapping that may be written may be read, too. */
const permits = ({ flags }: Vma, write: boolean): boolean => flags.has('WRITE') || (!write && flags.has('READ'));

/** `fixup_user_fault()` that has to wait: it lets go of mmap_lock. What came of it shows at the next look. */
function* faultUnlocked({ mm }: Vma, page: UserPage): Thread<'EAGAIN'> {
  mm.mmapLock.releaseRead();
  yield* handleMmFault(mm, page);
  yield mm.mmapLock.read;
  return 'EAGAIN';
}

/** `follow_pfnmap_start()`: what the walk finds now. */
function followPfnmap(vma: Vma, page: UserPage): Followed | undefined {
  const [leaf] = vma.mm.pageTable.leaves(page, page);
  if (leaf === undefined) return undefined;
  const index = page - leaf.page;
  return { pfn: leaf.pfn + index, pages: 2 ** leaf.order - index };
}
