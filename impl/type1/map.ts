/**
 * VFIO_IOMMU_MAP_DMA: addresses of the calling process become translations of the domain.
 *
 * Source: drivers/vfio/vfio_iommu_type1.c, vfio_dma_do_map(), vfio_pin_map_dma(), vfio_iommu_replay()
 */
import type { Domain } from '../iommu/domain.ts';
import { IOMMU_CACHE, IOMMU_READ, IOMMU_WRITE } from '../iommu/prot.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import { assertHeld } from '../kernel/mutex.ts';
import type { Process } from '../kernel/process.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import {
  atMost,
  type Bytes,
  type Iova,
  isAligned,
  isZero,
  lastOf,
  PAGE_SIZE,
  type UserAddr,
  u64,
} from '../kernel/units.ts';
import { type Type1Container, VfioDma } from './container.ts';
import { physOfPfn, pinPagesRemote, unpinPagesRemote } from './pin.ts';
import { unmapUnpin } from './unmap.ts';

/** VFIO_DMA_MAP_FLAG_READ and _WRITE: what the device may do. */
export interface MapDma {
  readonly vaddr: UserAddr;
  readonly iova: Iova;
  readonly size: Bytes;
  readonly read: boolean;
  readonly write: boolean;
}

/**
 * `vfio_dma_do_map()`: maps at once where there is a domain, else with the first group. Of a BAR it keeps the page
 * numbers that the page table happens to have, and a reference to nothing.
 * Locks: takes vfio_iommu.lock, and mmap_lock inside
 * Fails: EINVAL for what permits nothing, is empty or no whole pages, or lies where no device reaches; EOVERFLOW;
 *        EEXIST, ENOSPC; ENOMEM, EFAULT as a pin does. Nothing is left behind.
 */
export function* mapDma(container: Type1Container, process: Process, args: MapDma): Thread<Errno | undefined> {
  const { vaddr, iova, size, read, write } = args;
  const prot = (read ? IOMMU_READ : 0) | (write ? IOMMU_WRITE : 0);
  if (prot === 0 || isZero(size)) return 'EINVAL';
  const last = lastOf(iova, size);
  if (last === undefined || lastOf(vaddr, size) === undefined) return 'EOVERFLOW';
  if (![iova, size, vaddr].every((it) => isAligned(it, PAGE_SIZE))) return 'EINVAL';
  yield container.lock;
  try {
    if (container.dmas.overlapping(iova, last).length > 0) return 'EEXIST';
    if (container.dmaAvail === 0) return 'ENOSPC';
    if (!isUsable(container, iova, last)) return 'EINVAL';
    if (shouldFail('vfio_dma')) return 'ENOMEM';
    const dma = new VfioDma(iova, vaddr, size.page, prot, process);
    const failed = container.domain && (yield* pinMapDma(container, container.domain, dma));
    if (failed !== undefined) return failed;
    container.dmas.insert(dma);
    container.dmaAvail--;
    return undefined;
  } finally {
    container.lock.release();
  }
}

/** `vfio_iommu_iova_dma_valid()`: every device of the container reaches [iova, last]. */
function isUsable({ groups, iommu, domain }: Type1Container, iova: Iova, last: Iova): boolean {
  if (domain === undefined) return true;
  const reserved = groups.some((it) =>
    it.reserved.some(({ start, last: end }) => atMost(start, last) && atMost(iova, end)),
  );
  return !reserved && atMost(iommu.apertureFirst, iova) && atMost(last, iommu.apertureLast);
}

/**
 * `vfio_pin_map_dma()`, also for what a first domain finds (`vfio_iommu_replay()`): run by run, and all of it or none.
 * Locks: caller holds vfio_iommu.lock; takes mmap_lock for reading
 * Fails: ENODEV when the process has ended; as a pin does, or the domain
 */
export function* pinMapDma(container: Type1Container, domain: Domain, dma: VfioDma): Thread<Errno | undefined> {
  assertHeld(container.lock);
  if (dma.process.mm.exited) return 'ENODEV';
  const { ram } = container;
  for (let done = 0; done < dma.npages; ) {
    const run = yield* pinPagesRemote(dma, ram, done);
    let failed: Errno | undefined;
    if (isErrno(run)) failed = run;
    else {
      const at = u64(dma.iova.page + done, 0);
      // Whatever lies there, it is mapped like memory of the CPU.
      failed = domain.map(at, physOfPfn(run.pfn), run.pages * PAGE_SIZE, dma.prot | IOMMU_CACHE);
      if (failed !== undefined) unpinPagesRemote(dma, ram, run.pfn, run.pages);
      else done += run.pages;
    }
    if (failed !== undefined) {
      unmapUnpin(container, domain, dma);
      return failed;
    }
  }
  return undefined;
}
