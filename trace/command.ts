/**
 * The commands: one for each step of the trace format, with the same `do` and the same arguments. Everything draws,
 * prints, parses, replays and shrinks these values. Addresses, offsets, lengths and flags are exact 64-bit `bigint`s;
 * handles (`Handle`) are names that an earlier command gave with `as`, or device names.
 *
 * A new command enters here, in `schema.ts` and in the table of the format.
 */

import type {
  VfioAttach,
  VfioBind,
  VfioClose,
  VfioDetach,
  VfioDmabufMemattr,
  VfioDmabufRevoke,
  VfioExport,
  VfioFlr,
  VfioHotReset,
  VfioLowPowerEntry,
  VfioLowPowerExit,
  VfioMemory,
  VfioOpen,
  VfioPower,
  VfioReset,
  VfioWake,
} from './command-vfio.ts';

/** A name that an earlier step gave, or a device's name. */
export type Handle = string;

/** Protection of a mapping. */
export type Prot = 'rw' | 'r' | 'w' | '';

/** An inclusive interval `[first, last]`. */
export type Interval = readonly [first: bigint, last: bigint];

/** A slice `[offset, length]` of a BAR. */
export type Slice = readonly [offset: bigint, length: bigint];

export interface IommufdOpen {
  readonly do: 'iommufd_open';
  readonly as: Handle;
}
export interface IommufdClose {
  readonly do: 'iommufd_close';
  readonly ctx: Handle;
}
export interface IoasAlloc {
  readonly do: 'ioas_alloc';
  readonly ctx: Handle;
  readonly as: Handle;
}
export interface HwptAlloc {
  readonly do: 'hwpt_alloc';
  readonly dev: Handle;
  readonly ioas: Handle;
  readonly as: Handle;
  readonly flags?: bigint;
}
export interface Destroy {
  readonly do: 'destroy';
  readonly obj: Handle;
}
export interface IoasIovaRanges {
  readonly do: 'ioas_iova_ranges';
  readonly ioas: Handle;
}
export interface IoasAllowIovas {
  readonly do: 'ioas_allow_iovas';
  readonly ioas: Handle;
  readonly ranges: readonly Interval[];
}
export interface IoasMap {
  readonly do: 'ioas_map';
  readonly ioas: Handle;
  readonly mem: Handle;
  readonly offset: bigint;
  readonly length: bigint;
  readonly prot: Prot;
  readonly iova?: bigint;
  readonly flags?: bigint;
}
export interface IoasMapFile {
  readonly do: 'ioas_map_file';
  readonly ioas: Handle;
  readonly fd: Handle;
  readonly start: bigint;
  readonly length: bigint;
  readonly prot: Prot;
  readonly iova?: bigint;
  readonly flags?: bigint;
}
export interface IoasCopy {
  readonly do: 'ioas_copy';
  readonly dst: Handle;
  readonly src: Handle;
  readonly src_iova: bigint;
  readonly length: bigint;
  readonly prot: Prot;
  readonly dst_iova?: bigint;
  readonly flags?: bigint;
}
export interface IoasUnmap {
  readonly do: 'ioas_unmap';
  readonly ioas: Handle;
  readonly iova: bigint;
  readonly length: bigint;
}
export interface IoasOptionHugePages {
  readonly do: 'ioas_option_huge_pages';
  readonly ioas: Handle;
  readonly enable: boolean;
}
export interface MemAlloc {
  readonly do: 'mem_alloc';
  readonly as: Handle;
  readonly length: bigint;
}
export interface MemfdCreate {
  readonly do: 'memfd_create';
  readonly as: Handle;
  readonly length: bigint;
}
export interface FdDup {
  readonly do: 'fd_dup';
  readonly fd: Handle;
  readonly as: Handle;
}
export interface FdClose {
  readonly do: 'fd_close';
  readonly fd: Handle;
}
export interface DmaRead {
  readonly do: 'dma_read';
  readonly dev: Handle;
  readonly iova: bigint;
}
export interface BarMmap {
  readonly do: 'bar_mmap';
  readonly dev: Handle;
  readonly region: number;
  readonly offset: bigint;
  readonly length: bigint;
  readonly as: Handle;
}
export interface FdMmap {
  readonly do: 'fd_mmap';
  readonly fd: Handle;
  readonly offset: bigint;
  readonly length: bigint;
  readonly as: Handle;
}
export interface Peek {
  readonly do: 'peek';
  readonly map: Handle;
  readonly offset: bigint;
  readonly process?: Handle;
}
export interface Munmap {
  readonly do: 'munmap';
  readonly map: Handle;
  readonly offset?: bigint;
  readonly length?: bigint;
  readonly process?: Handle;
}
export interface Fork {
  readonly do: 'fork';
  readonly as: Handle;
}
export interface Exit {
  readonly do: 'exit';
  readonly process: Handle;
}
export interface MockDomain {
  readonly do: 'mock_domain';
  readonly ioas: Handle;
  readonly as: Handle;
  readonly dev: Handle;
}
export interface MockDomainDestroy {
  readonly do: 'mock_domain_destroy';
  readonly dev: Handle;
}
export interface MockDmabuf {
  readonly do: 'mock_dmabuf';
  readonly length: bigint;
  readonly as: Handle;
}
export interface MockRevoke {
  readonly do: 'mock_revoke';
  readonly fd: Handle;
  readonly revoked: boolean;
}

/** The commands that model and implementation carry out. */
export type Command =
  | IommufdOpen
  | IommufdClose
  | VfioOpen
  | VfioBind
  | VfioAttach
  | VfioDetach
  | VfioClose
  | VfioExport
  | VfioMemory
  | VfioReset
  | VfioFlr
  | VfioHotReset
  | VfioPower
  | VfioLowPowerEntry
  | VfioLowPowerExit
  | VfioWake
  | VfioDmabufRevoke
  | VfioDmabufMemattr
  | IoasAlloc
  | HwptAlloc
  | Destroy
  | IoasIovaRanges
  | IoasAllowIovas
  | IoasMap
  | IoasMapFile
  | IoasCopy
  | IoasUnmap
  | IoasOptionHugePages
  | MemAlloc
  | MemfdCreate
  | FdDup
  | FdClose
  | DmaRead
  | BarMmap
  | FdMmap
  | Peek
  | Munmap
  | Fork
  | Exit
  | MockDomain
  | MockDomainDestroy
  | MockDmabuf
  | MockRevoke;
