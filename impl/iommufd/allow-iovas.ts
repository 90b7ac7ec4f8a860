/**
 * IOMMU_IOAS_ALLOW_IOVAS: where the kernel may choose an IOVA itself.
 *
 * Source: drivers/iommu/iommufd/ioas.c, iommufd_ioas_allow_iovas(), iommufd_ioas_load_iovas()
 */
import { type Errno, isErrno } from '../kernel/errno.ts';
import { IntervalTree } from '../kernel/interval-tree.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import { atMost, type Iova } from '../kernel/units.ts';
import type { IommufdCtx } from './context.ts';
import { Allowed } from './io-pagetable.ts';
import { getIoas } from './ioas.ts';

/** `iommu_iova_range`: inclusive at both ends. */
export interface IovaRange {
  readonly start: Iova;
  readonly last: Iova;
}

/**
 * Replace the whole set; no ranges clear it. A range that the user's memory does not have is an errno. `reserved` is
 * the field of that name, which must be 0.
 * Locks: takes iova_rwsem W, when the ranges are read
 * Fails: EOPNOTSUPP, ENOENT, then range by range EFAULT, EINVAL, ENOMEM, at last EADDRINUSE; the old set stays then
 */
export function* ioasAllowIovas(
  ctx: IommufdCtx,
  ioasId: number,
  ranges: Iterable<IovaRange | Errno>,
  reserved = 0,
): Thread<Errno | undefined> {
  if (reserved !== 0) return 'EOPNOTSUPP';
  const ioas = getIoas(ctx, ioasId);
  if (isErrno(ioas)) return ioas;
  try {
    const allowed = loadIovas(ranges);
    return isErrno(allowed) ? allowed : yield* ioas.iopt.setAllowed(allowed);
  } finally {
    ctx.put(ioas);
  }
}

function loadIovas(ranges: Iterable<IovaRange | Errno>): IntervalTree<Allowed> | Errno {
  const allowed = new IntervalTree<Allowed>();
  for (const range of ranges) {
    if (isErrno(range)) return range;
    if (shouldFail('copy_from_user')) return 'EFAULT';
    const { start, last } = range;
    if (atMost(last, start)) return 'EINVAL';
    if (allowed.first(start, last) !== undefined) return 'EINVAL';
    if (shouldFail('iommufd_ioas_load_iovas')) return 'ENOMEM';
    allowed.insert(new Allowed(start, last));
  }
  return allowed;
}
