/** What a command leads to: what it returned, what devices reach then, and the calls that the IOMMU driver got. */
import type { Interval, Prot } from './command.ts';

/** What a command returned besides success; a command that returns nothing has `{}`. */
export interface Answer {
  /** `ioas_map`, `ioas_map_file`, `ioas_copy`: where it was mapped. */
  readonly iova?: bigint;
  /** `ioas_unmap`: bytes removed. */
  readonly length?: bigint;
  /** `ioas_iova_ranges`: what may be mapped, ascending, and the alignment in bytes. */
  readonly ranges?: readonly Interval[];
  readonly alignment?: bigint;
  /** `dma_read`: the byte that was read, as `"dev0:2+0x1000"` or `"m0+0x0"`. */
  readonly target?: string;
  /** `dma_read`: no translation, or nothing answered. */
  readonly fault?: true;
  /** `peek`: what was read, or what the process got instead. */
  readonly value?: string;
  readonly signal?: 'SIGBUS';
}

/** The errnos that steps answer with. */
export type Errno =
  | 'EPERM'
  | 'ENOENT'
  | 'EIO'
  | 'ENXIO'
  | 'E2BIG'
  | 'EBADF'
  | 'ENOMEM'
  | 'EFAULT'
  | 'EBUSY'
  | 'EEXIST'
  | 'ENODEV'
  | 'EACCES'
  | 'EINVAL'
  | 'EMFILE'
  | 'ENOTTY'
  | 'ENOSPC'
  | 'ERANGE'
  | 'EDEADLOCK'
  | 'EBADE'
  | 'EOVERFLOW'
  | 'EBADFD'
  | 'EMSGSIZE'
  | 'EOPNOTSUPP'
  | 'EADDRINUSE'
  | 'EAGAIN';

/** A step's outcome: exactly one of the two. */
export type Result = { readonly ok: Answer; readonly err?: never } | { readonly err: Errno; readonly ok?: never };

/** One stretch of a device's DMA address space: `[iova, target, length, prot]`, sorted and merged in a trace. */
export type Reach = readonly [iova: bigint, target: string, length: bigint, prot: Prot];

/** A call that reached the IOMMU driver; the length of an unmap is the bytes really cleared. */
export type IommuCall =
  | readonly ['map', iova: bigint, target: string, length: bigint]
  | readonly ['unmap', iova: bigint, length: bigint];
