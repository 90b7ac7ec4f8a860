/**
 * VFIO_IOMMU_UNMAP_DMA: the only thing that ends a translation, besides the end of the container. No zap, no reset and
 * no close of a device comes here.
 *
 * Source: drivers/vfio/vfio_iommu_type1.c, vfio_dma_do_unmap(), vfio_unmap_unpin()
 */
import type { Domain } from '../iommu/domain.ts';
import type { Errno } from '../kernel/errno.ts';
import { assertHeld } from '../kernel/mutex.ts';
import type { Thread } from '../kernel/thread.ts';
import { add, type Bytes, type Iova, isAligned, isZero, lastOf, less, PAGE_SIZE, u64, ZERO } from '../kernel/units.ts';
import type { Type1Container, VfioDma } from './container.ts';
import { unpinPagesRemote } from './pin.ts';

/**
 * `vfio_dma_do_unmap()`: all mappings that meet the range, and how many bytes they had; none is a success, too. The
 * first version stops at a mapping that begins before the range; the second refuses to cut one.
 * Locks: takes vfio_iommu.lock
 * Fails: EINVAL for no length, no whole pages, or a cut; EOVERFLOW
 */
export function* unmapDma(container: Type1Container, iova: Iova, size: Bytes): Thread<Bytes | Errno> {
  if (isZero(size)) return 'EINVAL';
  const last = lastOf(iova, size);
  if (last === undefined) return 'EOVERFLOW';
  if (!isAligned(iova, PAGE_SIZE) || !isAligned(size, PAGE_SIZE)) return 'EINVAL';
  yield container.lock;
  try {
    const found = container.dmas.overlapping(iova, last);
    if (container.v2 && found.some((dma) => less(dma.start, iova) || less(last, dma.last))) return 'EINVAL';
    let unmapped: Bytes = ZERO;
    for (const dma of found) {
      if (less(dma.iova, iova)) break;
      removeDma(container, dma);
      unmapped = add(unmapped, u64(dma.npages, 0));
    }
    return unmapped;
  } finally {
    container.lock.release();
  }
}

/** The same with VFIO_DMA_UNMAP_FLAG_ALL: EINVAL unless address and size are 0. */
export function* unmapAllDma(container: Type1Container, iova: Iova, size: Bytes): Thread<Bytes | Errno> {
  if (!isZero(iova) || !isZero(size)) return 'EINVAL';
  yield container.lock;
  try {
    let unmapped: Bytes = ZERO;
    for (const dma of container.dmas.all()) {
      removeDma(container, dma);
      unmapped = add(unmapped, u64(dma.npages, 0));
    }
    return unmapped;
  } finally {
    container.lock.release();
  }
}

/** `vfio_remove_dma()`. Locks: caller holds vfio_iommu.lock */
function removeDma(container: Type1Container, dma: VfioDma): void {
  assertHeld(container.lock);
  if (container.domain !== undefined) unmapUnpin(container, container.domain, dma);
  container.dmas.remove(dma);
  container.dmaAvail++;
}

/** `vfio_unmap_unpin()`: what the domain translates of the mapping goes; which pages it was, only the domain knows. */
export function unmapUnpin({ ram }: Type1Container, domain: Domain, dma: VfioDma): void {
  for (const { iova, phys, length } of domain.stretches(dma.start, dma.last)) {
    domain.unmap(iova, length);
    unpinPagesRemote(dma, ram, phys / PAGE_SIZE, length / PAGE_SIZE);
  }
}
