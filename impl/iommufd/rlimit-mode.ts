/**
 * IOMMU_OPTION_RLIMIT_MODE: whether a context charges the user or the process for what it pins.
 *
 * Source: drivers/iommu/iommufd/main.c, iommufd_option_rlimit_mode()
 */
import type { Errno } from '../kernel/errno.ts';
import { current } from '../kernel/thread.ts';
import { equal, isZero, ONE, type U64 } from '../kernel/units.ts';
import type { IommufdCtx } from './context.ts';

/** 1 when the process is charged, 0 when its user is. Fails: EOPNOTSUPP for an object, which this option has none of */
export function getRlimitMode(ctx: IommufdCtx, objectId: number): 0 | 1 | Errno {
  if (objectId !== 0) return 'EOPNOTSUPP';
  return ctx.accountMode === 'mm' ? 1 : 0;
}

/** Fails: EOPNOTSUPP, EPERM without CAP_SYS_RESOURCE, EBUSY once the context has an object, EINVAL, in that order */
export function setRlimitMode(ctx: IommufdCtx, objectId: number, value: U64): Errno | undefined {
  if (objectId !== 0) return 'EOPNOTSUPP';
  if (current().process?.capSysResource !== true) return 'EPERM';
  if (ctx.objects.length > 0) return 'EBUSY';
  if (!isZero(value) && !equal(value, ONE)) return 'EINVAL';
  ctx.accountMode = isZero(value) ? 'user' : 'mm';
  return undefined;
}
