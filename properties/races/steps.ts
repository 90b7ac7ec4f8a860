/** The steps and starting states that the races share, by the names that the tables use. */
import type { Command, Handle } from '../../trace/command.ts';
import type { Step } from './race.ts';

/** Where the tables map, when they choose. */
export const A = 0x100_0000n;
export const B = 0x200_0000n;
/** Where copies go. */
export const C = 0x300_0000n;

export const memory = (enable: boolean, dev = 'dev0'): Command => ({ do: 'vfio_memory', dev, enable });
export const OFF = memory(false);
export const ON = memory(true);
export const RESET: Command = { do: 'vfio_reset', dev: 'dev0' };
export const FLR: Command = { do: 'vfio_flr', dev: 'dev0' };
export const FOR_GOOD: Command = { do: 'vfio_dmabuf_revoke', dev: 'dev0', fd: 'buf' };
export const hotReset = (dev: Handle): Command => ({ do: 'vfio_hot_reset', dev });
export const close = (dev: Handle): Command => ({ do: 'vfio_close', dev });
export const bind = (dev: Handle): Command => ({ do: 'vfio_bind', dev, ctx: 'ctx' });
export const open = (dev: Handle): readonly Command[] => [{ do: 'vfio_open', dev }, bind(dev)];
export const attach = (dev: Handle, pt = 'ioas'): Command => ({ do: 'vfio_attach', dev, pt });
export const detach = (dev: Handle): Command => ({ do: 'vfio_detach', dev });
export const exportAs = (as: Handle, dev = 'dev0'): Command => ({
  do: 'vfio_export',
  dev,
  region: 2,
  ranges: [[0n, 0x400000n]],
  as,
});
/** A second domain of `ioas`. */
export const hwpt = (as: Handle, dev = 'dev0'): Command => ({ do: 'hwpt_alloc', dev, ioas: 'ioas', as });
export const destroy = (obj: Handle): Command => ({ do: 'destroy', obj });
export const closeFd = (fd: Handle): Command => ({ do: 'fd_close', fd });
export const DUP: Command = { do: 'fd_dup', fd: 'buf', as: 'dup' };

/** Four pages of a buffer, at A. */
export const MAP: Extract<Command, { do: 'ioas_map_file' }> = {
  do: 'ioas_map_file',
  ioas: 'ioas',
  fd: 'buf',
  start: 0n,
  length: 0x4000n,
  prot: 'rw',
  iova: A,
};
export const MAP_OTHER: Command = { ...MAP, fd: 'other', iova: B };
/** Two pages of user memory `m`, at B. */
export const MEMORY: Command = { do: 'mem_alloc', as: 'm', length: 0x4000n };
export const mapMemory = (iova: bigint | undefined, length = 0x2000n, offset = 0n): Command => ({
  do: 'ioas_map',
  ioas: 'ioas',
  mem: 'm',
  offset,
  length,
  prot: 'rw',
  ...(iova !== undefined && { iova }),
});
export const unmap = (iova = A, length = 0x4000n): Command => ({ do: 'ioas_unmap', ioas: 'ioas', iova, length });
export const copy = (length = 0x4000n, dst = 'ioas'): Command => ({
  do: 'ioas_copy',
  dst,
  src: 'ioas',
  src_iova: A,
  length,
  dst_iova: C,
  prot: 'rw',
});

/** The CPU's mapping of a BAR, and of a buffer. */
export const mapBar = (as: Handle, dev = 'dev0'): Command => ({
  do: 'bar_mmap',
  dev,
  region: 2,
  offset: 0n,
  length: 0x1000n,
  as,
});
export const mapBuf = (as: Handle): Command => ({ do: 'fd_mmap', fd: 'buf', offset: 0n, length: 0x1000n, as });
export const touch = (map: Handle, process?: Handle): Command => ({
  do: 'peek',
  map,
  offset: 0n,
  ...(process !== undefined && { process }),
});
export const FORK: Command = { do: 'fork', as: 'child' };

export const importer = (as: Handle, kind: 'prompt' | 'late' | 'never'): readonly Step[] => [
  { do: 'importer', as, kind },
  { do: 'importer_attach', importer: as, fd: 'buf' },
];
export const importerMap = (importer: Handle): Step => ({ do: 'importer_map', importer });
export const importerUnmap = (importer: Handle): Step => ({ do: 'importer_unmap', importer });
export const importerDetach = (importer: Handle): Step => ({ do: 'importer_detach', importer });

/** A context with an IOAS; dev0 and dev1 are open and bound. */
export const OPENED: readonly Step[] = [
  { do: 'iommufd_open', as: 'ctx' },
  { do: 'ioas_alloc', ctx: 'ctx', as: 'ioas' },
  ...open('dev0'),
  ...open('dev1'),
];
/** And dev0 has exported its BAR as `buf`. */
export const START: readonly Step[] = [...OPENED, exportAs('buf')];
/** And dev1 is attached. */
export const ATTACHED: readonly Step[] = [...START, attach('dev1')];
/** And `buf` is mapped. */
export const MAPPED: readonly Step[] = [...ATTACHED, MAP];

/** On the kernel's own test devices: `mock` is attached to an IOAS, and `buf` is a test buffer. */
export const MOCK_START: readonly Step[] = [
  { do: 'iommufd_open', as: 'ctx' },
  { do: 'ioas_alloc', ctx: 'ctx', as: 'ioas' },
  { do: 'mock_domain', ioas: 'ioas', as: 'hwpt', dev: 'mock' },
  { do: 'mock_dmabuf', length: 0x10000n, as: 'buf' },
];
export const mockRevoke = (revoked: boolean): Command => ({ do: 'mock_revoke', fd: 'buf', revoked });

/** Ends of a walk: `buf` at A, `other` and `m` at B, the copy of `buf`. */
export const BYTE = 'dev0:2+0x0';
export const bufAt = (domain: Handle): string => `${domain} 0x1000000 → dev0:2+0x0 0x4000`;
export const otherAt = (domain: Handle): string => `${domain} 0x2000000 → dev1:2+0x0 0x4000`;
export const memoryAt = (domain: Handle): string => `${domain} 0x2000000 → m+0x0 0x2000`;
export const copyAt = (domain: Handle): string => `${domain} 0x3000000 → dev0:2+0x0 0x4000`;
export const UNMAPPED = 'unmap ioas 0x1000000 0x4000';
