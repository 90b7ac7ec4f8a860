/**
 * ioctl(2) on an iommufd with a number that was a VFIO container's. Here `argsz` only says how much the user has; what
 * is beyond the structure is not looked at.
 *
 * Source: iommufd 2.14; drivers/iommu/iommufd/vfio_compat.c, iommufd_vfio_ioctl()
 */
import type { IommufdCtx } from '../iommufd/context.ts';
import { FIXED_IOVA, READABLE, WRITEABLE } from '../iommufd/ioas.ts';
import { vfioCheckExtension, vfioIommuInfo, vfioMapDma, vfioSetIommu, vfioUnmapDma } from '../iommufd/vfio-compat.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import type { Thread } from '../kernel/thread.ts';
import type { U64, UserAddr } from '../kernel/units.ts';
import type { Caller } from './caller.ts';
import { decode, encode, type Fields, type Layout, type Values } from './layout.ts';
import {
  CAP_DMA_AVAIL,
  CAP_ID_DMA_AVAIL,
  CAP_ID_IOVA_RANGE,
  CAP_IOVA_RANGE,
  DMA_MAP,
  DMA_UNMAP,
  IOMMU_TYPE1_INFO,
  IOVA_RANGE,
  VFIO_CHECK_EXTENSION,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_GET_API_VERSION,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_SET_IOMMU,
} from './vfio-structs.ts';

const VFIO_API_VERSION = 0;

/** `argument` is an address, or for two of them a number. Fails: ENOTTY */
export function* vfioContainerIoctl(
  caller: Caller,
  ctx: IommufdCtx,
  number: number,
  argument: U64,
): Thread<number | Errno> {
  switch (number) {
    case VFIO_GET_API_VERSION:
      return VFIO_API_VERSION;
    case VFIO_CHECK_EXTENSION:
      return vfioCheckExtension(ctx, argument);
    case VFIO_SET_IOMMU:
      return (yield* vfioSetIommu(ctx, argument)) ?? 0;
    case VFIO_IOMMU_GET_INFO:
      return (yield* getInfo(caller, ctx, argument)) ?? 0;
    case VFIO_IOMMU_MAP_DMA:
      return (yield* mapDma(caller, ctx, argument)) ?? 0;
    case VFIO_IOMMU_UNMAP_DMA:
      return (yield* unmapDma(caller, ctx, argument)) ?? 0;
    default:
      return 'ENOTTY';
  }
}

/** As much of a structure as every user must have. Fails: EFAULT, EINVAL for an `argsz` that is less */
function readLeast<F extends Fields & { argsz: Fields[string] }>(
  { memory }: Caller,
  layout: Layout<F>,
  from: UserAddr,
): Values<F> | Errno {
  const bytes = memory.read(from, layout.min);
  if (isErrno(bytes)) return bytes;
  const whole = new Uint8Array(layout.size);
  whole.set(bytes);
  const args = decode(layout, whole);
  return (args.argsz as number) < layout.min ? 'EINVAL' : args;
}

function* mapDma(caller: Caller, ctx: IommufdCtx, argument: UserAddr): Thread<Errno | undefined> {
  const args = readLeast(caller, DMA_MAP, argument);
  if (isErrno(args)) return args;
  const { flags, vaddr, iova, size } = args;
  if ((flags & ~(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)) !== 0) return 'EINVAL';
  const read = (flags & VFIO_DMA_MAP_FLAG_READ) !== 0 ? READABLE : 0;
  const write = (flags & VFIO_DMA_MAP_FLAG_WRITE) !== 0 ? WRITEABLE : 0;
  const { mm, ram } = caller.machine;
  return yield* vfioMapDma(ctx, { flags: FIXED_IOVA | read | write, length: size, iova }, vaddr, mm, ram);
}

/** Once the unmap has begun, `size` says what it has removed, even if it then failed. */
function* unmapDma(caller: Caller, ctx: IommufdCtx, argument: UserAddr): Thread<Errno | undefined> {
  const args = readLeast(caller, DMA_UNMAP, argument);
  if (isErrno(args)) return args;
  if ((args.flags & ~VFIO_DMA_UNMAP_FLAG_ALL) !== 0) return 'EINVAL';
  const all = (args.flags & VFIO_DMA_UNMAP_FLAG_ALL) !== 0;
  const { unmapped, failed } = yield* vfioUnmapDma(ctx, all, args.iova, args.size);
  if (unmapped === undefined) return failed;
  return writeLeast(caller, argument, DMA_UNMAP, { ...args, size: unmapped }) ?? failed;
}

/**
 * The page sizes, and behind them a chain of capabilities, as far as the user has room; `argsz` says for how much it
 * takes. Fails: EFAULT, EINVAL, ENODEV
 */
function* getInfo(caller: Caller, ctx: IommufdCtx, argument: UserAddr): Thread<Errno | undefined> {
  const args = readLeast(caller, IOMMU_TYPE1_INFO, argument);
  if (isErrno(args)) return args;
  const info = yield* vfioIommuInfo(ctx);
  if (isErrno(info)) return info;
  const chain = capabilities(info.ranges);
  const whole = new Uint8Array(IOMMU_TYPE1_INFO.size + chain.length);
  whole.set(chain, IOMMU_TYPE1_INFO.size);
  encode(
    IOMMU_TYPE1_INFO,
    {
      argsz: whole.length,
      flags: VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS,
      iova_pgsizes: info.pageSizes,
      cap_offset: args.argsz >= whole.length ? IOMMU_TYPE1_INFO.size : 0,
    },
    whole,
  );
  // Of a chain that does not fit the kernel writes the links that do, without an offset that leads to them; we, none.
  const told = args.argsz >= whole.length ? whole.length : Math.min(args.argsz, IOMMU_TYPE1_INFO.size);
  return caller.memory.write(argument, whole.subarray(0, told));
}

/** The ranges that may be mapped, and that no number of mappings is too many. */
function capabilities(ranges: readonly (readonly [U64, U64])[]): Uint8Array {
  const end = CAP_IOVA_RANGE.size + ranges.length * IOVA_RANGE.size;
  // Each begins at a multiple of 8.
  const chain = new Uint8Array(end + Math.ceil(CAP_DMA_AVAIL.size / 8) * 8);
  const next = IOMMU_TYPE1_INFO.size + end;
  encode(CAP_IOVA_RANGE, { id: CAP_ID_IOVA_RANGE, version: 1, next, nr_iovas: ranges.length }, chain);
  for (const [i, [start, last]] of ranges.entries()) {
    encode(IOVA_RANGE, { start, end: last }, chain.subarray(CAP_IOVA_RANGE.size + i * IOVA_RANGE.size));
  }
  encode(CAP_DMA_AVAIL, { id: CAP_ID_DMA_AVAIL, version: 1, avail: 0xffff_ffff }, chain.subarray(end));
  return chain;
}

/** The reverse. Fails: EFAULT */
function writeLeast<F extends Fields>(
  { memory }: Caller,
  to: UserAddr,
  layout: Layout<F>,
  values: Values<F>,
): Errno | undefined {
  const bytes = new Uint8Array(layout.size);
  encode(layout, values, bytes);
  return memory.write(to, bytes.subarray(0, layout.min));
}
