/** What threads that run together are about, and what that needs. */
import type { Command } from '../../trace/command.ts';
import { type Intent, intentFor, MIX } from '../intents.ts';

type Does = Command['do'];

/** Everything that takes memory back, or may. */
const REVOKES: readonly Does[] = [
  'vfio_memory',
  'vfio_memory',
  'vfio_reset',
  'vfio_flr',
  'vfio_hot_reset',
  'vfio_power',
  'vfio_low_power_entry',
  'vfio_dmabuf_revoke',
  'vfio_close',
  'mock_revoke',
];

/** And what gives it again. */
const RESTORES: readonly Does[] = ['vfio_memory', 'vfio_power', 'vfio_low_power_exit', 'vfio_wake', 'mock_revoke'];

/** What changes which areas there are, or which domains have them. */
const AREAS: readonly Does[] = [
  'ioas_map_file',
  'ioas_map_file',
  'ioas_copy',
  'ioas_copy',
  'ioas_unmap',
  'ioas_unmap',
  'ioas_map',
  'vfio_attach',
  'vfio_detach',
  'hwpt_alloc',
  'destroy',
  'mock_domain',
  'mock_domain_destroy',
];

/** And what else is asked of an address space. */
const SPACES: readonly Does[] = [...AREAS, 'ioas_allow_iovas', 'ioas_option_huge_pages', 'ioas_iova_ranges'];

/** What the CPU maps and reads, and the processes that do. */
const CPU: readonly Does[] = ['bar_mmap', 'fd_mmap', 'peek', 'peek', 'munmap', 'fork', 'exit', 'mem_alloc'];

/** What may let go of something for the last time. */
const ENDS: readonly Does[] = [
  'destroy',
  'fd_close',
  'vfio_close',
  'iommufd_close',
  'vfio_detach',
  'mock_domain_destroy',
  'ioas_unmap',
  'munmap',
  'exit',
];

/** What takes a reference of something that it has just looked up. */
const USES: readonly Does[] = [
  'ioas_map_file',
  'ioas_copy',
  'ioas_map',
  'vfio_attach',
  'hwpt_alloc',
  'mock_domain',
  'vfio_open',
  'vfio_bind',
  'vfio_export',
  'bar_mmap',
  'fd_mmap',
  'fd_dup',
  'fork',
];

/** Those who take no part in any of this meet others, too. */
const ALL: readonly Does[] = MIX.map(([what]) => what);

/** Threads do by turns some of the first and some of the second, in a world in which that much is done. */
export interface Meeting {
  readonly weight: number;
  readonly does: readonly (readonly Does[])[];
  readonly needs: readonly Intent[];
}

const ATTACHED = [intentFor('vfio_attach')];
/** Several pages, of which the first is touched. */
const SEEN = [
  intentFor('bar_mmap', { size: 3 }),
  intentFor('peek'),
  intentFor('fd_mmap', { size: 3 }),
  intentFor('peek', { pick: 1 }),
];

export const MEETINGS: readonly Meeting[] = [
  { weight: 3, does: [REVOKES, AREAS], needs: ATTACHED },
  { weight: 1, does: [REVOKES, [...AREAS, 'vfio_export', 'fd_close', 'fd_dup']], needs: [] },
  { weight: 2, does: [REVOKES, CPU], needs: SEEN },
  { weight: 1, does: [REVOKES, [...REVOKES, ...RESTORES]], needs: SEEN },
  { weight: 3, does: [SPACES, SPACES], needs: [] },
  { weight: 2, does: [ENDS, USES], needs: [] },
  { weight: 1, does: [ENDS, [...ENDS, ...REVOKES]], needs: SEEN },
  { weight: 1, does: [CPU, CPU], needs: SEEN },
  { weight: 1, does: [ALL, ALL], needs: [] },
];
