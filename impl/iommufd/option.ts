/**
 * IOMMU_OPTION: one switch of a context, and one of an IOAS.
 *
 * Source: drivers/iommu/iommufd/main.c, iommufd_option(), and ioas.c, iommufd_ioas_option()
 */
import { type Errno, isErrno } from '../kernel/errno.ts';
import type { Thread } from '../kernel/thread.ts';
import { equal, isZero, ONE, type U64, u64, ZERO } from '../kernel/units.ts';
import type { IommufdCtx } from './context.ts';
import { getIoas } from './ioas.ts';
import { disableLargePages, enableLargePages } from './large-pages.ts';
import { getRlimitMode, setRlimitMode } from './rlimit-mode.ts';

export const OPTION_RLIMIT_MODE = 0;
export const OPTION_HUGE_PAGES = 1;
export const OPTION_SET = 0;
export const OPTION_GET = 1;

/** `iommu_option`. `value` counts when setting. */
export interface OptionArgs {
  readonly option: number;
  readonly op: number;
  readonly reserved?: number;
  readonly objectId: number;
  readonly value: U64;
}

/** The value that is written back. Fails: EOPNOTSUPP, and as the option says */
export function* iommufdOption(ctx: IommufdCtx, args: OptionArgs): Thread<U64 | Errno> {
  if ((args.reserved ?? 0) !== 0) return 'EOPNOTSUPP';
  if (args.option === OPTION_RLIMIT_MODE) return rlimitMode(ctx, args);
  return args.option === OPTION_HUGE_PAGES ? yield* hugePages(ctx, args) : 'EOPNOTSUPP';
}

/** Who is charged for pinned memory: 0 the user, 1 the process. Fails: EOPNOTSUPP, EPERM, EBUSY, EINVAL */
function rlimitMode(ctx: IommufdCtx, { op, objectId, value }: OptionArgs): U64 | Errno {
  if (op === OPTION_SET) return setRlimitMode(ctx, objectId, value) ?? value;
  if (op !== OPTION_GET) return 'EOPNOTSUPP';
  const mode = getRlimitMode(ctx, objectId);
  return isErrno(mode) ? mode : u64(0, mode);
}

/** 0 maps page by page, 1 with pages as large as possible. Fails: ENOENT, EOPNOTSUPP, EINVAL, EADDRINUSE */
function* hugePages(ctx: IommufdCtx, { op, objectId, value }: OptionArgs): Thread<U64 | Errno> {
  const ioas = getIoas(ctx, objectId);
  if (isErrno(ioas)) return ioas;
  try {
    if (op === OPTION_GET) return ioas.iopt.disableLargePages ? ZERO : ONE;
    if (op !== OPTION_SET) return 'EOPNOTSUPP';
    if (isZero(value)) return (yield* disableLargePages(ioas.iopt)) ?? value;
    if (!equal(value, ONE)) return 'EINVAL';
    yield* enableLargePages(ioas.iopt);
    return value;
  } finally {
    ctx.put(ioas);
  }
}
