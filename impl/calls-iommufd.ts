/** System calls on the descriptor of an iommufd. */
import type { Result } from '../trace/answer.ts';
import type {
  Handle,
  HwptAlloc,
  IoasAlloc,
  IoasAllowIovas,
  IoasCopy,
  IoasMap,
  IoasMapFile,
  IoasOptionHugePages,
  IoasUnmap,
  Prot,
} from '../trace/command.ts';
import { answerOf, ctxOfHandle, DONE, enter, fdOf, installAs, leave, objectOf, told } from './handles.ts';
import { ioasAllowIovas } from './iommufd/allow-iovas.ts';
import { IommufdCtx } from './iommufd/context.ts';
import { hwptAlloc } from './iommufd/hw-pagetable.ts';
import {
  FIXED_IOVA,
  ioasAlloc,
  ioasCopy,
  ioasIovaRanges,
  ioasMap,
  ioasMapFile,
  ioasUnmap,
  type MapArgs,
  READABLE,
  WRITEABLE,
} from './iommufd/ioas.ts';
import { iommufdOption, OPTION_HUGE_PAGES, OPTION_SET } from './iommufd/option.ts';
import { type Errno, isErrno } from './kernel/errno.ts';
import { shouldFail, type Thread } from './kernel/thread.ts';
import { addWrapping, fromBigint, type Iova, ONE, toBigint, ZERO } from './kernel/units.ts';
import type { Machine, NamedFd } from './machine.ts';

/** open(2) of /dev/iommu */
export function openIommufd(machine: Machine, as: Handle): Result {
  if (shouldFail('alloc_empty_file')) return { err: 'ENOMEM' };
  if (shouldFail('iommufd_fops_open')) return { err: 'ENOMEM' };
  const ctx = new IommufdCtx(as, machine.iommu, (it) => machine.contexts.delete(it));
  const result = installAs(machine, ctx.file, as, 'iommufd');
  if ('ok' in result) machine.contexts.add(ctx);
  return result;
}

export function* allocIoas(machine: Machine, { ctx: ctxHandle, as }: IoasAlloc): Thread<Result> {
  const ctx = ctxOfHandle(machine, ctxHandle);
  if (isErrno(ctx)) return { err: ctx };
  if (shouldFail('copy_from_user')) return { err: 'EFAULT' };
  // Others may close the descriptor meanwhile.
  ctx.file.get();
  const named = machine.names.get(ctxHandle) as NamedFd;
  const ioas = yield* ioasAlloc(ctx, as);
  if (isErrno(ioas)) return leave(ctx, { err: ioas });
  if (shouldFail('copy_to_user')) {
    yield* ctx.destroy(ioas.id);
    return leave(ctx, { err: 'EFAULT' });
  }
  machine.names.set(as, { kind: 'object', ctx: named, object: ioas });
  return leave(ctx, DONE);
}

export function* allocHwpt(machine: Machine, { dev, ioas, as, flags }: HwptAlloc): Thread<Result> {
  const parent = enter(machine, ioas);
  if (isErrno(parent)) return { err: parent };
  // A device is named by the number that its context gave it; what is bound elsewhere, or nowhere, is not there.
  const idev = machine.dmaDevice(dev)?.iommufdDevice;
  const deviceId = idev !== undefined && idev.ctx === parent.ctx ? idev.id : 0;
  const hwpt = yield* hwptAlloc(parent.ctx, deviceId, parent.id, rawFlags(flags ?? 0n), as);
  if (isErrno(hwpt)) return leave(parent.ctx, { err: hwpt });
  if (shouldFail('copy_to_user')) {
    yield* parent.ctx.destroy(hwpt.id);
    return leave(parent.ctx, { err: 'EFAULT' });
  }
  const { ctx } = machine.names.get(ioas) as { ctx: NamedFd };
  machine.names.set(as, { kind: 'object', ctx, object: hwpt });
  return leave(parent.ctx, DONE);
}

export function* destroy(machine: Machine, handle: Handle): Thread<Result> {
  const object = enter(machine, handle);
  if (isErrno(object)) return { err: object };
  return leave(object.ctx, answerOf(yield* object.ctx.destroy(object.id)));
}

/** The mapping stays even where its IOVA cannot be told. */
const mapped = (iova: Iova | Errno): Result => (isErrno(iova) ? { err: iova } : told({ ok: { iova: toBigint(iova) } }));

const protFlags = (prot: Prot): number => {
  if (prot === 'rw') return READABLE | WRITEABLE;
  if (prot === 'r') return READABLE;
  return prot === 'w' ? WRITEABLE : 0;
};

/** Bits that an int does not hold are as unknown as the highest that it does. */
const rawFlags = (flags: bigint): number => (flags >> 31n === 0n ? Number(flags) : 1 << 30);

/** What `prot` and `iova` stand for is no more than they say. */
const SPOKEN = BigInt(FIXED_IOVA | READABLE | WRITEABLE);

function mapArgs(prot: Prot, length: bigint, iova: bigint | undefined, flags: bigint | undefined): MapArgs {
  return {
    flags:
      protFlags(prot) | (iova === undefined ? 0 : FIXED_IOVA) | (flags === undefined ? 0 : rawFlags(flags & ~SPOKEN)),
    length: fromBigint(length),
    iova: iova === undefined ? ZERO : fromBigint(iova),
  };
}

export function* mapFile(machine: Machine, command: IoasMapFile): Thread<Result> {
  const ioas = enter(machine, command.ioas);
  if (isErrno(ioas)) return { err: ioas };
  const fd = fdOf(machine, command.fd, 'file');
  const args = mapArgs(command.prot, command.length, command.iova, command.flags);
  const { fds, ram } = machine;
  const start = fromBigint(command.start);
  return leave(ioas.ctx, mapped(yield* ioasMapFile(ioas.ctx, ioas.id, args, fd, start, fds, ram)));
}

export function* mapMemory(machine: Machine, command: IoasMap): Thread<Result> {
  const ioas = enter(machine, command.ioas);
  if (isErrno(ioas)) return { err: ioas };
  const mem = machine.names.get(command.mem);
  if (mem?.kind !== 'mem') return leave(ioas.ctx, { err: 'EBADF' });
  const args = mapArgs(command.prot, command.length, command.iova, command.flags);
  const address = addWrapping(mem.address, fromBigint(command.offset));
  return leave(ioas.ctx, mapped(yield* ioasMap(ioas.ctx, ioas.id, args, address, machine.mm, machine.ram)));
}

export function* copy(machine: Machine, command: IoasCopy): Thread<Result> {
  const dst = enter(machine, command.dst);
  if (isErrno(dst)) return { err: dst };
  const src = objectOf(machine, command.src);
  if (isErrno(src)) return leave(dst.ctx, { err: src });
  const args = mapArgs(command.prot, command.length, command.dst_iova, command.flags);
  // The ioctl names both by number in one context; what lies in another is not there.
  const srcId = src.ctx === dst.ctx ? src.id : 0;
  const srcIova = fromBigint(command.src_iova);
  return leave(dst.ctx, mapped(yield* ioasCopy(dst.ctx, dst.id, srcId, args, srcIova)));
}

export function* unmap(machine: Machine, { ioas: handle, iova, length }: IoasUnmap): Thread<Result> {
  const ioas = enter(machine, handle);
  if (isErrno(ioas)) return { err: ioas };
  const removed = yield* ioasUnmap(ioas.ctx, ioas.id, fromBigint(iova), fromBigint(length));
  return leave(ioas.ctx, isErrno(removed) ? { err: removed } : told({ ok: { length: toBigint(removed) } }));
}

export function* allowIovas(machine: Machine, { ioas: handle, ranges }: IoasAllowIovas): Thread<Result> {
  const ioas = enter(machine, handle);
  if (isErrno(ioas)) return { err: ioas };
  const wanted = ranges.map(([start, last]) => ({ start: fromBigint(start), last: fromBigint(last) }));
  return leave(ioas.ctx, answerOf(yield* ioasAllowIovas(ioas.ctx, ioas.id, wanted)));
}

export function* optionHugePages(machine: Machine, { ioas: handle, enable }: IoasOptionHugePages): Thread<Result> {
  const ioas = enter(machine, handle);
  if (isErrno(ioas)) return { err: ioas };
  const value = enable ? ONE : ZERO;
  const args = { option: OPTION_HUGE_PAGES, op: OPTION_SET, objectId: ioas.id, value };
  const written = yield* iommufdOption(ioas.ctx, args);
  return leave(ioas.ctx, isErrno(written) ? { err: written } : told(DONE));
}

export function* iovaRanges(machine: Machine, handle: Handle): Thread<Result> {
  const ioas = enter(machine, handle);
  if (isErrno(ioas)) return { err: ioas };
  const answer = yield* ioasIovaRanges(ioas.ctx, ioas.id);
  if (isErrno(answer)) return leave(ioas.ctx, { err: answer });
  const ranges = answer.ranges.map(([first, last]) => [toBigint(first), toBigint(last)] as const);
  return leave(ioas.ctx, told({ ok: { ranges, alignment: BigInt(answer.alignment) } }));
}
