/**
 * ioctl(2) on an iommufd: the framing that all its commands share. What a command does is its row's affair.
 *
 * Source: iommufd 2.0; drivers/iommu/iommufd/main.c, iommufd_fops_ioctl()
 */
import type { IommufdCtx } from '../iommufd/context.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import type { Thread } from '../kernel/thread.ts';
import type { UserAddr } from '../kernel/units.ts';
import type { Caller } from './caller.ts';
import { IOMMUFD_OPS } from './iommufd-ops.ts';
import { copyStruct, sizeOf } from './layout.ts';
import { Ucmd } from './ucmd.ts';
import { vfioContainerIoctl } from './vfio-container.ts';

/** The last byte of a number tells whose it is: iommufd's own begin here, and all others were a VFIO container's. */
const IOMMUFD_CMD_BASE = 0x80;
/** The highest that this kernel knows, which is IOMMU_HW_QUEUE_ALLOC. */
const IOMMUFD_CMD_LAST = 0x94;

/** A command by its last byte. */
const byNumber = new Map(IOMMUFD_OPS.map((op) => [op.number & 0xff, op]));

/**
 * The whole number is looked at only after the size, so a bad pointer is EFAULT even where there is no such command.
 * Fails: EFAULT, ENOTTY, EINVAL, E2BIG before any effect; then as the command does
 */
export function* iommufdIoctl(
  caller: Caller,
  ctx: IommufdCtx,
  number: number,
  argument: UserAddr,
): Thread<number | Errno> {
  const last = number & 0xff;
  if (last < IOMMUFD_CMD_BASE || last > IOMMUFD_CMD_LAST) {
    return yield* vfioContainerIoctl(caller, ctx, number, argument);
  }
  const userSize = sizeOf(caller.memory, argument);
  if (isErrno(userSize)) return userSize;
  const op = byNumber.get(last);
  if (op?.carryOut === undefined || op.number !== number) return 'ENOTTY';
  if (userSize < op.layout.min) return 'EINVAL';
  const bytes = copyStruct(caller.memory, argument, op.layout.size, userSize);
  if (isErrno(bytes)) return bytes;
  return (yield* op.carryOut(new Ucmd(caller, ctx, argument, userSize, bytes))) ?? 0;
}
