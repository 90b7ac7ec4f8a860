/**
 * What the calls of a VFIO container do on an iommufd. They all mean one IOAS of the context, the compat IOAS, which
 * the user has named before. There is no mode without an IOMMU.
 *
 * Source: iommufd 2.14; drivers/iommu/iommufd/vfio_compat.c
 */
import { type Errno, isErrno } from '../kernel/errno.ts';
import type { Mm, Ram } from '../kernel/mm.ts';
import type { Thread } from '../kernel/thread.ts';
import {
  addWrapping,
  type Bytes,
  bytes,
  type Iova,
  isZero,
  lastOf,
  max,
  previous,
  type U64,
  U64_MAX,
  type UserAddr,
  u64,
  ZERO,
} from '../kernel/units.ts';
import { cutIova } from './area-split.ts';
import type { IommufdCtx } from './context.ts';
import type { IoPagetable } from './io-pagetable.ts';
import { getIoas, Ioas, type MapArgs, mapUserPages } from './ioas.ts';
import { disableLargePages } from './large-pages.ts';
import { unmapRange } from './unmap.ts';

/** Kinds of container. */
export const VFIO_TYPE1_IOMMU = 1;
const VFIO_TYPE1v2_IOMMU = 3;
/** Other things that a user may ask for. */
const VFIO_DMA_CC_IOMMU = 4;
const VFIO_UNMAP_ALL = 9;

/** get_compat_ioas(): counts a user; `ctx.put` it. Fails: ENODEV */
function compatIoas({ vfioIoas }: IommufdCtx): Ioas | 'ENODEV' {
  if (!(vfioIoas instanceof Ioas)) return 'ENODEV';
  vfioIoas.users++;
  return vfioIoas;
}

/** IOMMU_VFIO_IOAS_GET: the number of the compat IOAS. Fails: ENODEV */
export const vfioIoasGet = ({ vfioIoas }: IommufdCtx): number | Errno => vfioIoas?.id ?? 'ENODEV';

/** IOMMU_VFIO_IOAS_SET. Fails: ENOENT */
export function vfioIoasSet(ctx: IommufdCtx, id: number): Errno | undefined {
  const ioas = getIoas(ctx, id);
  if (isErrno(ioas)) return ioas;
  ctx.vfioIoas = ioas;
  ctx.put(ioas);
  return undefined;
}

/** IOMMU_VFIO_IOAS_CLEAR */
export function vfioIoasClear(ctx: IommufdCtx): undefined {
  ctx.vfioIoas = undefined;
}

/** VFIO_CHECK_EXTENSION: 1 for what there is. All domains here enforce coherency. Fails: ENODEV when asked for that */
export function vfioCheckExtension(ctx: IommufdCtx, extension: U64): number | Errno {
  switch (extension.page === 0 ? extension.byte : 0) {
    case VFIO_TYPE1_IOMMU:
    case VFIO_TYPE1v2_IOMMU:
    case VFIO_UNMAP_ALL:
      return 1;
    case VFIO_DMA_CC_IOMMU:
      return ctx.vfioIoas === undefined ? 'ENODEV' : 1;
    default:
      return 0;
  }
}

/**
 * VFIO_SET_IOMMU: the first version may unmap in the middle of what it has mapped, so nothing is mapped in large pages.
 * Fails: EINVAL, ENODEV; EINVAL or EADDRINUSE for areas that are there already
 */
export function* vfioSetIommu(ctx: IommufdCtx, type: U64): Thread<Errno | undefined> {
  if (type.page !== 0 || (type.byte !== VFIO_TYPE1_IOMMU && type.byte !== VFIO_TYPE1v2_IOMMU)) return 'EINVAL';
  const ioas = compatIoas(ctx);
  if (isErrno(ioas)) return ioas;
  try {
    return type.byte === VFIO_TYPE1_IOMMU ? yield* disableLargePages(ioas.iopt) : undefined;
  } finally {
    ctx.put(ioas);
  }
}

/** VFIO_IOMMU_MAP_DMA, always at a fixed IOVA; nobody asks whether it permits anything. Fails: ENODEV, as IOAS_MAP */
export function* vfioMapDma(
  ctx: IommufdCtx,
  args: MapArgs,
  address: UserAddr,
  mm: Mm,
  ram: Ram,
): Thread<Errno | undefined> {
  const ioas = compatIoas(ctx);
  if (isErrno(ioas)) return ioas;
  try {
    const iova = yield* mapUserPages(ioas, args, address, mm, ram);
    return isErrno(iova) ? iova : undefined;
  } finally {
    ctx.put(ioas);
  }
}

/** What an unmap came to. `unmapped` is there once it has begun, whether or not it then failed. */
export interface Unmapped {
  readonly unmapped?: Bytes;
  readonly failed?: Errno | undefined;
}

/**
 * VFIO_IOMMU_UNMAP_DMA. Where pages are small, areas that stick out are cut first. An empty range is a success.
 * Fails: ENODEV, EINVAL, EOVERFLOW; as a cut does, or an unmap
 */
export function* vfioUnmapDma(ctx: IommufdCtx, all: boolean, iova: Iova, size: Bytes): Thread<Unmapped> {
  const ioas = compatIoas(ctx);
  if (isErrno(ioas)) return { failed: ioas };
  try {
    const { iopt } = ioas;
    if (all) {
      return isZero(iova) && isZero(size) ? yield* unmapAndCount(iopt, ZERO, U64_MAX) : { failed: 'EINVAL' };
    }
    if (iopt.disableLargePages) {
      const uncut = yield* cutIova(iopt, cutsFor(iova, size));
      if (uncut !== undefined) return { failed: uncut };
    }
    if (isZero(size)) return { unmapped: ZERO, failed: 'EINVAL' };
    const last = lastOf(iova, size);
    return last === undefined ? { unmapped: ZERO, failed: 'EOVERFLOW' } : yield* unmapAndCount(iopt, iova, last);
  } finally {
    ctx.put(ioas);
  }
}

/** At the end, then in front of the start; modulo 2^64, because nobody has looked at the range yet. */
function cutsFor(iova: Iova, size: Bytes): Iova[] {
  const last = addWrapping(addWrapping(iova, size), U64_MAX);
  return isZero(iova) ? [last] : [last, previous(iova)];
}

function* unmapAndCount(iopt: IoPagetable, start: Iova, last: Iova): Thread<Unmapped> {
  const { bytes: unmapped, failed } = yield* unmapRange(iopt, start, last);
  return { unmapped, failed };
}

/** What VFIO_IOMMU_GET_INFO tells. */
export interface VfioInfo {
  /** A bit for each page size that every domain has, ours at least. */
  readonly pageSizes: U64;
  readonly ranges: readonly (readonly [Iova, Iova])[];
}

/** Fails: ENODEV */
export function* vfioIommuInfo(ctx: IommufdCtx): Thread<VfioInfo | Errno> {
  const ioas = compatIoas(ctx);
  if (isErrno(ioas)) return ioas;
  try {
    const pageSizes = yield* pageSizesOf(ioas.iopt);
    const { ranges } = yield* ioas.iopt.iovaRanges();
    return { pageSizes, ranges };
  } finally {
    ctx.put(ioas);
  }
}

/** iommufd_get_pagesizes(). Locks: takes domains_rwsem R */
function* pageSizesOf(iopt: IoPagetable): Thread<U64> {
  yield iopt.domainsRwsem.read;
  try {
    const [domain] = iopt.domains;
    // All domains are of one IOMMU. Without one, every size is right that a page has.
    const sizes = domain === undefined ? u64(U64_MAX.page, 0) : bytes(sumOf(domain.iommu.pageSizes));
    const ours = sizes.byte > 0 ? u64(sizes.page % 2 === 0 ? sizes.page + 1 : sizes.page, 0) : sizes;
    return max(ours, bytes(iopt.alignment));
  } finally {
    iopt.domainsRwsem.releaseRead();
  }
}

const sumOf = (pageSizes: readonly number[]): number => pageSizes.reduce((sum, size) => sum + size, 0);
