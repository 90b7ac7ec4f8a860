/**
 * The commands of an iommufd, each a row: its number, its structure, and the function that carries it out. What is
 * here looks at fields that must be zero, and writes the answer; all else is the function's.
 *
 * Source: iommufd 2.1 to 2.15, 7.1
 */
import { handOverToCaller } from '../iommufd/accounting.ts';
import { type IovaRange, ioasAllowIovas } from '../iommufd/allow-iovas.ts';
import { ioasChangeProcess } from '../iommufd/change-process.ts';
import { hwptAlloc } from '../iommufd/hw-pagetable.ts';
import { ioasAlloc, ioasCopy, ioasIovaRanges, ioasMap, ioasMapFile, ioasUnmap } from '../iommufd/ioas.ts';
import { iommufdOption } from '../iommufd/option.ts';
import { vfioIoasClear, vfioIoasGet, vfioIoasSet } from '../iommufd/vfio-compat.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import type { Thread } from '../kernel/thread.ts';
import { bytes } from '../kernel/units.ts';
import {
  HWPT_DATA_NONE,
  IOMMU_DESTROY,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_CHANGE_PROCESS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_UNMAP,
  IOMMU_IOVA_RANGE,
  IOMMU_OPTION,
  IOMMU_VFIO_IOAS,
  VFIO_IOAS_CLEAR,
  VFIO_IOAS_GET,
  VFIO_IOAS_SET,
} from './iommufd-structs.ts';
import { after, decode, encode, type Fields, type Layout, type Values } from './layout.ts';
import { type Op, op, type Ucmd } from './ucmd.ts';

type Args<L> = L extends Layout<infer F extends Fields> ? Values<F> : never;

export const IOMMUFD_OPS: readonly Op[] = [
  op(0x3b80, IOMMU_DESTROY, (cmd, { id }) => cmd.ctx.destroy(id)),
  op(0x3b81, IOMMU_IOAS_ALLOC, allocIoas),
  op(0x3b82, IOMMU_IOAS_ALLOW_IOVAS, allowIovas),
  op(0x3b83, IOMMU_IOAS_COPY, copy),
  op(0x3b84, IOMMU_IOAS_IOVA_RANGES, iovaRanges),
  op(0x3b85, IOMMU_IOAS_MAP, map),
  op(0x3b86, IOMMU_IOAS_UNMAP, unmap),
  op(0x3b87, IOMMU_OPTION, option),
  op(0x3b88, IOMMU_VFIO_IOAS, vfioIoas),
  op(0x3b89, IOMMU_HWPT_ALLOC, allocHwpt),
  op(0x3b8f, IOMMU_IOAS_MAP_FILE, mapFile),
  op(0x3b92, IOMMU_IOAS_CHANGE_PROCESS, (cmd, args) => ioasChangeProcess(cmd.ctx, args.__reserved, handOverToCaller)),
];

/** An IOAS whose number cannot be told is none. */
function* allocIoas(cmd: Ucmd, { flags }: Args<typeof IOMMU_IOAS_ALLOC>): Thread<Errno | undefined> {
  if (flags !== 0) return 'EOPNOTSUPP';
  const ioas = yield* ioasAlloc(cmd.ctx, cmd.caller.nameFor('ioas'));
  if (isErrno(ioas)) return ioas;
  const untold = cmd.respond(IOMMU_IOAS_ALLOC, { out_ioas_id: ioas.id });
  if (untold !== undefined) yield* cmd.ctx.destroy(ioas.id);
  return untold;
}

/** Range by range, so that a bad one is met before one that cannot be read. */
function* allowIovas(cmd: Ucmd, args: Args<typeof IOMMU_IOAS_ALLOW_IOVAS>): Thread<Errno | undefined> {
  return yield* ioasAllowIovas(cmd.ctx, args.ioas_id, rangesOf(cmd, args), args.__reserved);
}

function* rangesOf(
  { caller }: Ucmd,
  { allowed_iovas, num_iovas }: Args<typeof IOMMU_IOAS_ALLOW_IOVAS>,
): Iterable<IovaRange | Errno> {
  const { size } = IOMMU_IOVA_RANGE;
  for (let i = 0; i < num_iovas; i++) {
    const range = caller.memory.read(after(allowed_iovas, i * size), size);
    yield range === 'EFAULT' ? range : decode(IOMMU_IOVA_RANGE, range);
  }
}

function* option(cmd: Ucmd, args: Args<typeof IOMMU_OPTION>): Thread<Errno | undefined> {
  const { option_id, op: operation, __reserved: reserved, object_id: objectId, val64 } = args;
  const wanted = { option: option_id, op: operation, reserved, objectId, value: val64 };
  const value = yield* iommufdOption(cmd.ctx, wanted);
  return isErrno(value) ? value : cmd.respond(IOMMU_OPTION, { val64: value });
}

/** As many ranges as there is room for, and how many there are. Fails: EMSGSIZE, with the answer written */
function* iovaRanges(cmd: Ucmd, args: Args<typeof IOMMU_IOAS_IOVA_RANGES>): Thread<Errno | undefined> {
  if (args.__reserved !== 0) return 'EOPNOTSUPP';
  const answer = yield* ioasIovaRanges(cmd.ctx, args.ioas_id);
  if (isErrno(answer)) return answer;
  const { ranges, alignment } = answer;
  for (const [i, [start, last]] of ranges.slice(0, args.num_iovas).entries()) {
    const range = new Uint8Array(IOMMU_IOVA_RANGE.size);
    encode(IOMMU_IOVA_RANGE, { start, last }, range);
    if (cmd.caller.memory.write(after(args.allowed_iovas, i * range.length), range) !== undefined) return 'EFAULT';
  }
  const response = { num_iovas: ranges.length, out_iova_alignment: bytes(alignment) };
  return cmd.respond(IOMMU_IOAS_IOVA_RANGES, response) ?? (ranges.length > args.num_iovas ? 'EMSGSIZE' : undefined);
}

/** The mapping stays even where its IOVA cannot be told; so it is with all that map and unmap. */
function* map(cmd: Ucmd, args: Args<typeof IOMMU_IOAS_MAP>): Thread<Errno | undefined> {
  if (args.__reserved !== 0) return 'EOPNOTSUPP';
  const { mm, ram } = cmd.caller.machine;
  const iova = yield* ioasMap(cmd.ctx, args.ioas_id, args, args.user_va, mm, ram);
  return isErrno(iova) ? iova : cmd.respond(IOMMU_IOAS_MAP, { iova });
}

function* mapFile(cmd: Ucmd, args: Args<typeof IOMMU_IOAS_MAP_FILE>): Thread<Errno | undefined> {
  const { fds, ram } = cmd.caller.machine;
  const iova = yield* ioasMapFile(cmd.ctx, args.ioas_id, args, args.fd, args.start, fds, ram);
  return isErrno(iova) ? iova : cmd.respond(IOMMU_IOAS_MAP_FILE, { iova });
}

function* copy(cmd: Ucmd, args: Args<typeof IOMMU_IOAS_COPY>): Thread<Errno | undefined> {
  const { flags, length, dst_iova, src_iova } = args;
  const placing = { flags, length, iova: dst_iova };
  const iova = yield* ioasCopy(cmd.ctx, args.dst_ioas_id, args.src_ioas_id, placing, src_iova);
  return isErrno(iova) ? iova : cmd.respond(IOMMU_IOAS_COPY, { dst_iova: iova });
}

function* unmap(cmd: Ucmd, { ioas_id, iova, length }: Args<typeof IOMMU_IOAS_UNMAP>): Thread<Errno | undefined> {
  const removed = yield* ioasUnmap(cmd.ctx, ioas_id, iova, length);
  return isErrno(removed) ? removed : cmd.respond(IOMMU_IOAS_UNMAP, { length: removed });
}

/** An unknown flag: what a table that is described by data counts as here, where there is no nesting. */
const USER_DATA = 1 << 30;

/** A table whose number cannot be told is none. */
function* allocHwpt(cmd: Ucmd, args: Args<typeof IOMMU_HWPT_ALLOC>): Thread<Errno | undefined> {
  if (args.__reserved !== 0) return 'EOPNOTSUPP';
  if ((args.data_type === HWPT_DATA_NONE) !== (args.data_len === 0)) return 'EINVAL';
  const flags = args.data_len === 0 ? args.flags : USER_DATA;
  const hwpt = yield* hwptAlloc(cmd.ctx, args.dev_id, args.pt_id, flags, cmd.caller.nameFor('hwpt'));
  if (isErrno(hwpt)) return hwpt;
  const untold = cmd.respond(IOMMU_HWPT_ALLOC, { out_hwpt_id: hwpt.id });
  if (untold !== undefined) yield* cmd.ctx.destroy(hwpt.id);
  return untold;
}

function* vfioIoas(
  cmd: Ucmd,
  { op: what, ioas_id, __reserved }: Args<typeof IOMMU_VFIO_IOAS>,
): Thread<Errno | undefined> {
  if (__reserved !== 0) return 'EOPNOTSUPP';
  switch (what) {
    case VFIO_IOAS_GET: {
      const id = vfioIoasGet(cmd.ctx);
      return isErrno(id) ? id : cmd.respond(IOMMU_VFIO_IOAS, { ioas_id: id });
    }
    case VFIO_IOAS_SET:
      return vfioIoasSet(cmd.ctx, ioas_id);
    case VFIO_IOAS_CLEAR:
      return vfioIoasClear(cmd.ctx);
    default:
      return 'EOPNOTSUPP';
  }
}
