/**
 * The IOAS object and the ioctls that name one, each with its checks in the documented order.
 *
 * Source: drivers/iommu/iommufd/ioas.c
 */

import { type DmaBuf, dmaBufOf } from '../dmabuf/dma-buf.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../iommu/prot.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import type { FdTable, File } from '../kernel/file.ts';
import { Memfd, type Mm, type Ram } from '../kernel/mm.ts';
import { Mutex } from '../kernel/mutex.ts';
import { free } from '../kernel/poison.ts';
import { warnOn } from '../kernel/splat.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import {
  addChecked,
  type Bytes,
  bytes,
  type Iova,
  isMax,
  isZero,
  lastOf,
  less,
  type U64,
  U64_MAX,
  type UserAddr,
  u64,
  ZERO,
} from '../kernel/units.ts';
import { accountOf } from './accounting.ts';
import { type IommufdCtx, IommufdObject } from './context.ts';
import { mapDmabuf } from './dmabuf.ts';
import type { Hwpt } from './hw-pagetable.ts';
import { IoPagetable } from './io-pagetable.ts';
import { getPieces, mapPages, type Piece } from './map.ts';
import { Pages, pageCount } from './pages.ts';
import { putPages } from './release.ts';
import { unmapRange } from './unmap.ts';

export const FIXED_IOVA = 1;
export const WRITEABLE = 2;
export const READABLE = 4;
const MAP_FLAGS = FIXED_IOVA | WRITEABLE | READABLE;

export class Ioas extends IommufdObject {
  readonly kind = 'ioas';
  /** For messages and observers. */
  readonly name: string;
  readonly iopt = new IoPagetable();
  /** Protects `hwpts`, and the choice and making of an automatic one. */
  readonly mutex = new Mutex('ioas.mutex', 'ioas.mutex');
  readonly hwpts: Hwpt[] = [];

  constructor(ctx: IommufdCtx, name: string) {
    super(ctx);
    this.name = name;
  }

  /** iommufd_ioas_destroy(): areas are no users; they go with it. */
  *destroy(): Thread {
    const { failed } = yield* unmapRange(this.iopt, ZERO, U64_MAX);
    warnOn(failed !== undefined, 'an IOAS goes while somebody works on its areas');
    const { domainsRwsem, iovaRwsem } = this.iopt;
    free(this, 'iommufd_ioas', this.mutex, domainsRwsem, iovaRwsem);
  }
}

/** IOMMU_IOAS_ALLOC. Locks: takes ioas_creation_lock R. Fails: ENOMEM */
export function* ioasAlloc(ctx: IommufdCtx, name: string): Thread<Ioas | Errno> {
  const ioas = new Ioas(ctx, name);
  yield ctx.ioasCreationLock.read;
  const full = ctx.add(ioas);
  ctx.ioasCreationLock.releaseRead();
  return full ?? ioas;
}

/** iommufd_get_ioas(): a missing object, or one of another kind, is ENOENT. Counts a user; `ctx.put` it. */
export function getIoas(ctx: IommufdCtx, id: number): Ioas | 'ENOENT' {
  const object = ctx.getAny(id);
  if (object instanceof Ioas) return object;
  if (!isErrno(object)) ctx.put(object);
  return 'ENOENT';
}

/** What IOAS_MAP, IOAS_MAP_FILE and IOAS_COPY have in common. `flags` is below 2^32; `iova` counts if FIXED_IOVA. */
export interface MapArgs {
  readonly flags: number;
  readonly length: Bytes;
  readonly iova: Iova;
}

/** Flags and sizes that every mapping ioctl refuses first. Fails: EOPNOTSUPP, EOVERFLOW, EINVAL, in that order */
function checkMapArgs({ flags, length, iova }: MapArgs, sourceIova: Iova = ZERO): Errno | undefined {
  if ((flags & ~MAP_FLAGS) !== 0) return 'EOPNOTSUPP';
  if (isMax(length) || isMax(iova) || isMax(sourceIova)) return 'EOVERFLOW';
  if ((flags & (WRITEABLE | READABLE)) === 0) return 'EINVAL';
  return undefined;
}

/** Undefined to have one chosen. */
const fixedIova = ({ flags, iova }: MapArgs): Iova | undefined => ((flags & FIXED_IOVA) !== 0 ? iova : undefined);

/** conv_iommu_prot() */
const protOf = ({ flags }: MapArgs): number =>
  ((flags & READABLE) !== 0 ? IOMMU_READ : 0) | ((flags & WRITEABLE) !== 0 ? IOMMU_WRITE : 0);

/** Map one piece, whose pages the caller has made. Fails: as mapPages(); the pages are gone then */
function* mapOne(ioas: Ioas, pages: Pages, start: number, args: MapArgs): Thread<Iova | Errno> {
  const { length } = args;
  const piece: Piece = { pages, start: u64(0, start), length, area: undefined };
  const iova = yield* mapPages(ioas.iopt, [piece], length, fixedIova(args), protOf(args));
  if (isErrno(iova)) yield* putPages(pages);
  return iova;
}

/** IOMMU_IOAS_MAP: memory of the calling process. Nothing is pinned, or even looked at, before a domain wants it. */
export function* ioasMap(
  ctx: IommufdCtx,
  ioasId: number,
  args: MapArgs,
  address: UserAddr,
  mm: Mm,
  ram: Ram,
): Thread<Iova | Errno> {
  const ioas = checkMapArgs(args) ?? getIoas(ctx, ioasId);
  if (isErrno(ioas)) return ioas;
  try {
    return yield* mapUserPages(ioas, args, address, mm, ram);
  } finally {
    ctx.put(ioas);
  }
}

/** iopt_map_user_pages(). Fails: EOVERFLOW, EINVAL, ENOMEM; then as mapPages() */
export function* mapUserPages(ioas: Ioas, args: MapArgs, address: UserAddr, mm: Mm, ram: Ram): Thread<Iova | Errno> {
  if (addChecked(address, args.length) === undefined) return 'EOVERFLOW';
  const npages = isZero(args.length) ? undefined : pageCount(address.byte, args.length);
  if (npages === undefined || tooLong(args.length)) return 'EINVAL';
  if (shouldFail('iopt_alloc_pages')) return 'ENOMEM';
  const source = { kind: 'user', mm, startPage: address.page } as const;
  const pages = new Pages(source, npages, isWriteable(args), ram, accountOf(ioas.ctx));
  return yield* mapOne(ioas, pages, address.byte, args);
}

/** length > U64_MAX - PAGE_SIZE */
const tooLong = (length: Bytes): boolean => length.page >= 2 ** 52 - 1;

/** IOMMU_IOAS_MAP_FILE: a dma-buf, which its exporter may revoke, or any other file, which is pinned when mapped. */
export function* ioasMapFile(
  ctx: IommufdCtx,
  ioasId: number,
  args: MapArgs,
  fd: number,
  start: Bytes,
  fds: FdTable,
  ram: Ram,
): Thread<Iova | Errno> {
  const ioas = checkMapArgs(args) ?? getIoas(ctx, ioasId);
  if (isErrno(ioas)) return ioas;
  try {
    if (isZero(args.length)) return 'EINVAL';
    const last = lastOf(start, args.length);
    if (last === undefined) return 'EOVERFLOW';
    const file = fds.lookup(fd);
    if (file === undefined) return 'EBADF';
    file.get();
    const dmabuf = dmaBufOf(file);
    const pages =
      dmabuf === undefined
        ? filePages(ctx, file, start, last, args, ram)
        : yield* bufferPages(dmabuf, start, last, args, ram);
    if (!isErrno(pages)) return yield* mapOne(ioas, pages, start.byte, args);
    file.put();
    return pages;
  } finally {
    ctx.put(ioas);
  }
}

/** The pages of [start, last] of an open file; on success they own the file's reference. */
function filePages(ctx: IommufdCtx, file: File, start: Bytes, last: Bytes, args: MapArgs, ram: Ram): Pages | Errno {
  const npages = pageCount(start.byte, args.length);
  if (npages === undefined || tooLong(args.length)) return 'EINVAL';
  if (shouldFail('iopt_alloc_pages')) return 'ENOMEM';
  const memfd = file.what instanceof Memfd ? file.what : undefined;
  const source = { kind: 'file', file, memfd, startPage: start.page, last } as const;
  return new Pages(source, npages, isWriteable(args), ram, accountOf(ctx));
}

/** The same of a buffer, all of which must lie inside it. Fails: EINVAL before anything that the exporter says */
function* bufferPages(dmabuf: DmaBuf, start: Bytes, last: Bytes, args: MapArgs, ram: Ram): Thread<Pages | Errno> {
  const npages = pageCount(start.byte, args.length);
  if (!less(last, bytes(dmabuf.size)) || npages === undefined || args.length.page >= 0xffffffff) return 'EINVAL';
  return yield* mapDmabuf(dmabuf, start.page, npages, isWriteable(args), ram);
}

const isWriteable = ({ flags }: MapArgs): boolean => (flags & WRITEABLE) !== 0;

/** IOMMU_IOAS_COPY: areas of one IOAS, or parts of them, once more in another; the memory is shared. */
export function* ioasCopy(
  ctx: IommufdCtx,
  dstId: number,
  srcId: number,
  args: MapArgs,
  sourceIova: Iova,
): Thread<Iova | Errno> {
  const refused = checkMapArgs(args, sourceIova);
  if (refused !== undefined) return refused;
  const pieces = yield* copyPieces(ctx, srcId, sourceIova, args.length);
  if (isErrno(pieces)) return pieces;
  const iova = yield* copyInto(ctx, dstId, pieces, args);
  if (isErrno(iova)) for (const { pages } of pieces) yield* putPages(pages);
  return iova;
}

function* copyPieces(ctx: IommufdCtx, srcId: number, iova: Iova, length: Bytes): Thread<Piece[] | Errno> {
  const src = getIoas(ctx, srcId);
  if (isErrno(src)) return src;
  try {
    if (isZero(length)) return 'EINVAL';
    const last = lastOf(iova, length);
    if (last === undefined) return 'EOVERFLOW';
    return yield* getPieces(src.iopt, iova, last);
  } finally {
    ctx.put(src);
  }
}

function* copyInto(ctx: IommufdCtx, dstId: number, pieces: readonly Piece[], args: MapArgs): Thread<Iova | Errno> {
  const dst = getIoas(ctx, dstId);
  if (isErrno(dst)) return dst;
  try {
    return yield* mapPages(dst.iopt, pieces, args.length, fixedIova(args), protOf(args));
  } finally {
    ctx.put(dst);
  }
}

/** IOMMU_IOAS_UNMAP. Gives the bytes removed. Fails: ENOENT, EOVERFLOW, EINVAL, EBUSY, EDEADLOCK */
export function* ioasUnmap(ctx: IommufdCtx, ioasId: number, iova: Iova, length: U64): Thread<Bytes | Errno> {
  const ioas = getIoas(ctx, ioasId);
  if (isErrno(ioas)) return ioas;
  try {
    const everything = isZero(iova) && isMax(length);
    if (!everything && (isMax(iova) || isMax(length))) return 'EOVERFLOW';
    if (isZero(length)) return 'EINVAL';
    const last = everything ? U64_MAX : lastOf(iova, length);
    if (last === undefined) return 'EOVERFLOW';
    const { bytes: removed, failed } = yield* unmapRange(ioas.iopt, iova, last);
    return failed ?? (isZero(removed) && !everything ? 'ENOENT' : removed);
  } finally {
    ctx.put(ioas);
  }
}

/** IOMMU_IOAS_IOVA_RANGES. Fails: ENOENT */
export function* ioasIovaRanges(
  ctx: IommufdCtx,
  ioasId: number,
): Thread<{ ranges: readonly (readonly [Iova, Iova])[]; alignment: number } | Errno> {
  const ioas = getIoas(ctx, ioasId);
  if (isErrno(ioas)) return ioas;
  try {
    return yield* ioas.iopt.iovaRanges();
  } finally {
    ctx.put(ioas);
  }
}
