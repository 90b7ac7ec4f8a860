/**
 * From addresses of a process to page numbers: RAM is pinned; of a PFN map the numbers are taken as the page table has
 * them, and nobody is told.
 *
 * Source: drivers/vfio/vfio_iommu_type1.c, vaddr_get_pfns(), vfio_pin_pages_remote(); vfio-dmabuf 8.5
 */
import { IOMMU_WRITE } from '../iommu/prot.ts';
import type { UserPage } from '../kernel/cpu-page-table.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import type { Mm, Ram } from '../kernel/mm.ts';
import { assertHeldAny } from '../kernel/rwsem.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import { PAGE_SIZE, type Pfn } from '../kernel/units.ts';
import type { VfioDma } from './container.ts';
import { followFaultPfn } from './follow.ts';

/** Pages that lie in a row, all of RAM or none. */
export interface Run {
  readonly pfn: Pfn;
  readonly pages: number;
  /** They are no normal pages, so nobody holds them. */
  readonly reserved: boolean;
}

/** `is_invalid_reserved_pfn()`: there is no normal page behind the number, and so no count of its users. */
export const isInvalidReservedPfn = (ram: Ram, pfn: Pfn): boolean => !ram.hasPage(pfn);

/**
 * `vaddr_get_pfns()`: the first of `npages` pages, and those behind it that one look gives.
 * Locks: takes mmap_lock for reading, and lets go of it while a fault has to wait
 * Fails: EFAULT for an address that is not mapped, or not for this access; ENOMEM; as followFaultPfn() does
 */
export function* vaddrGetPfns(dma: VfioDma, ram: Ram, page: UserPage, npages: number): Thread<Run | Errno> {
  const { mm } = dma.process;
  const write = (dma.prot & IOMMU_WRITE) !== 0;
  yield mm.mmapLock.read;
  try {
    const pinned = pinUserPages(mm, page, npages, write);
    if (!isErrno(pinned)) return pinned;
    for (;;) {
      const vma = mm.find(page);
      // Only a PFN map has anything that can be had without a pin.
      if (vma?.flags.has('PFNMAP') !== true) return pinned;
      const followed = yield* followFaultPfn(vma, page, write);
      if (followed === 'EAGAIN') continue;
      if (isErrno(followed)) return followed;
      if (!isInvalidReservedPfn(ram, followed.pfn)) return 'EFAULT';
      return { pfn: followed.pfn, pages: Math.min(npages, followed.pages), reserved: true };
    }
  } finally {
    mm.mmapLock.releaseRead();
  }
}

/** `pin_user_pages_remote()`. Locks: caller holds mmap_lock. Fails: EFAULT, ENOMEM */
function pinUserPages(mm: Mm, page: UserPage, npages: number, write: boolean): Run | Errno {
  assertHeldAny(mm.mmapLock);
  const there = mm.ramAt(page);
  if (there === undefined || (write && mm.find(page)?.flags.has('WRITE') === false)) return 'EFAULT';
  if (shouldFail('pin_user_pages')) return 'ENOMEM';
  const { backing, index } = there;
  const pages = Math.min(npages, there.pages);
  backing.pin(index, pages);
  return { pfn: backing.firstPfn + index, pages, reserved: false };
}

/**
 * `vfio_pin_pages_remote()`: as many pages as lie in a row, from page number `done` of the mapping on. RAM is charged
 * to the process that has mapped it.
 * Locks: takes mmap_lock for reading
 * Fails: EFAULT, ENOMEM also above the limit, EINVAL; then nothing of this run is pinned
 */
export function* pinPagesRemote(dma: VfioDma, ram: Ram, done: number): Thread<Run | Errno> {
  const first = yield* vaddrGetPfns(dma, ram, dma.vaddr.page + done, dma.npages - done);
  if (isErrno(first)) return first;
  let run = first;
  while (done + run.pages < dma.npages) {
    const more = yield* vaddrGetPfns(dma, ram, dma.vaddr.page + done + run.pages, dma.npages - done - run.pages);
    if (isErrno(more)) {
      putPfns(ram, run);
      return more;
    }
    if (more.pfn !== run.pfn + run.pages || more.reserved !== run.reserved) {
      putPfns(ram, more); // It begins the next run, and is found again then.
      break;
    }
    run = { ...run, pages: run.pages + more.pages };
  }
  const refused = charge(dma, run);
  if (refused !== undefined) putPfns(ram, run);
  return refused ?? run;
}

/** `vfio_unpin_pages_remote()`: RAM is let go of; what else there is was never held. */
export function unpinPagesRemote(dma: VfioDma, ram: Ram, pfn: Pfn, pages: number): void {
  const run = { pfn, pages, reserved: isInvalidReservedPfn(ram, pfn) };
  putPfns(ram, run);
  if (run.reserved) return;
  dma.pinned -= pages;
  dma.process.mm.lockedVm -= pages;
}

/** `put_pfn()` for each */
function putPfns(ram: Ram, { pfn, pages, reserved }: Run): void {
  if (!reserved) ram.unpin(pfn, pages);
}

/** `vfio_lock_acct()`. Fails: ENOMEM above RLIMIT_MEMLOCK, unless the process may lock what it likes */
function charge(dma: VfioDma, { pages, reserved }: Run): Errno | undefined {
  if (reserved) return undefined;
  const { mm, capIpcLock, rlimitMemlock } = dma.process;
  if (!capIpcLock && mm.lockedVm + pages > rlimitMemlock.page) return 'ENOMEM';
  mm.lockedVm += pages;
  dma.pinned += pages;
  return undefined;
}

/** The physical address of a page. */
export const physOfPfn = (pfn: Pfn): number => pfn * PAGE_SIZE;
