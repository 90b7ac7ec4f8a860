/**
 * A hardware queue in guest memory, reduced to its internal access: its pages are pinned for as long as it is there,
 * and no UNMAP moves it to let go.
 *
 * Source: drivers/iommu/iommufd/viommu.c, iommufd_hw_queue_alloc_phys()
 */
import { type Errno, isErrno } from '../kernel/errno.ts';
import type { Thread } from '../kernel/thread.ts';
import { type Bytes, type Iova, isZero, lastOf, type Pfn } from '../kernel/units.ts';
import { type Access, accessAttachInternal, accessCreateInternal, accessDestroy } from './access.ts';
import { accessPinPages, accessUnpinPages } from './access-pin.ts';
import type { Ioas } from './ioas.ts';

export interface MockQueue {
  readonly access: Access;
  readonly iova: Iova;
  readonly length: Bytes;
}

/** Pin the queue's memory. Fails: EINVAL, EOVERFLOW, EFAULT where it is scattered, what pinning fails with */
export function* mockQueueCreate(ioas: Ioas, iova: Iova, length: Bytes): Thread<MockQueue | Errno> {
  if (isZero(length)) return 'EINVAL';
  if (lastOf(iova, length) === undefined) return 'EOVERFLOW';
  const access = accessCreateInternal(ioas.ctx);
  if (isErrno(access)) return access;
  const failed = (yield* accessAttachInternal(access, ioas)) ?? (yield* pinTogether(access, iova, length));
  if (failed === undefined) return { access, iova, length };
  yield* accessDestroy(access);
  return failed;
}

function* pinTogether(access: Access, iova: Iova, length: Bytes): Thread<Errno | undefined> {
  const pfns = yield* accessPinPages(access, iova, length, false);
  if (isErrno(pfns)) return pfns;
  if (pfns.every((pfn, i) => pfn === (pfns[0] as Pfn) + i)) return undefined;
  yield* accessUnpinPages(access, iova, length);
  return 'EFAULT';
}

/** iommufd_hw_queue_destroy() */
export function* mockQueueDestroy({ access, iova, length }: MockQueue): Thread {
  yield* accessUnpinPages(access, iova, length);
  yield* accessDestroy(access);
}
