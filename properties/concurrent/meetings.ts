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

/** What brings a domain to a space, or takes it away. */
const JOINS: readonly Does[] = ['vfio_attach', 'vfio_attach', 'hwpt_alloc', 'mock_domain', 'vfio_detach', 'destroy'];

/** What must be refused, or is another, when a domain is there. */
const ASKS: readonly Does[] = ['ioas_allow_iovas', 'ioas_option_huge_pages', 'ioas_map_file', 'ioas_map', 'ioas_copy'];

/** What the CPU maps and reads, and the processes that do. */
const CPU: readonly Does[] = ['bar_mmap', 'fd_mmap', 'peek', 'peek', 'munmap', 'fork', 'exit'];

/** What is refused while memory is off. */
const ASKED: readonly Does[] = ['ioas_map_file', 'ioas_map_file', 'ioas_copy', 'vfio_export', 'peek', 'vfio_memory'];

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
/** What was given is off, or asleep. */
const OFF = [...SEEN, intentFor('vfio_memory')];
const ASLEEP = [...SEEN, intentFor('vfio_low_power_entry')];
/** Two devices more, of one group where there is such a group, and another space to go to. */
const GROUPED = [
  ...Array.from({ length: 4 }, () => intentFor('vfio_bind', { pick: 1 })),
  intentFor('ioas_alloc'),
  intentFor('vfio_attach', { pick: 1 }),
];

const MEETINGS: readonly Meeting[] = [
  { weight: 4, does: [REVOKES, AREAS], needs: ATTACHED },
  { weight: 1, does: [REVOKES, [...AREAS, 'vfio_export', 'fd_close', 'fd_dup']], needs: [] },
  { weight: 3, does: [REVOKES, CPU], needs: SEEN },
  { weight: 1, does: [REVOKES, [...REVOKES, ...RESTORES]], needs: SEEN },
  { weight: 1, does: [['vfio_memory', 'vfio_reset', 'vfio_hot_reset', 'mock_revoke'], ASKED], needs: OFF },
  { weight: 1, does: [['vfio_low_power_exit', 'vfio_wake', 'vfio_memory'], ASKED], needs: ASLEEP },
  { weight: 2, does: [['vfio_dmabuf_revoke'], [...ASKED, 'fd_mmap', 'vfio_dmabuf_revoke']], needs: SEEN },
  { weight: 2, does: [SPACES, SPACES], needs: [] },
  {
    weight: 2,
    does: [
      ['ioas_unmap', 'ioas_copy'],
      ['ioas_unmap', 'ioas_map_file', 'ioas_map', 'ioas_copy'],
    ],
    needs: [],
  },
  { weight: 2, does: [JOINS, ASKS], needs: [] },
  { weight: 1, does: [JOINS, JOINS], needs: GROUPED },
  { weight: 1, does: [ENDS, [...ENDS, ...REVOKES]], needs: SEEN },
  { weight: 1, does: [CPU, CPU], needs: SEEN },
  { weight: 1, does: [ALL, ALL], needs: [] },
  // What nobody else has may go while it is looked up: a buffer, a context, an IOAS, a device, a mapping.
  {
    weight: 1,
    does: [['fd_close'], ['ioas_map_file', 'fd_dup', 'fd_mmap', 'vfio_memory', 'vfio_close', 'vfio_dmabuf_revoke']],
    needs: [intentFor('vfio_export')],
  },
  {
    weight: 1,
    does: [['iommufd_close'], ['vfio_bind', 'ioas_alloc', 'ioas_map_file', 'vfio_attach']],
    needs: [intentFor('vfio_open'), intentFor('iommufd_open')],
  },
  {
    weight: 1,
    does: [['destroy'], ['ioas_copy', 'ioas_map_file', 'ioas_unmap', 'vfio_attach', 'hwpt_alloc', 'mock_domain']],
    needs: [intentFor('ioas_alloc')],
  },
  {
    weight: 1,
    does: [
      ['vfio_close'],
      ['vfio_bind', 'vfio_open', 'vfio_export', 'vfio_attach', 'bar_mmap', 'ioas_map_file', 'ioas_copy'],
    ],
    needs: [intentFor('vfio_open')],
  },
  {
    weight: 1,
    does: [
      ['munmap', 'exit'],
      ['peek', 'fork', 'bar_mmap', 'vfio_memory', 'vfio_close'],
    ],
    needs: [...SEEN, intentFor('fork')],
  },
];

/** What only a kernel with the unmerged series does. */
const SERIES: ReadonlySet<Does> = new Set(['fd_mmap', 'vfio_dmabuf_revoke', 'vfio_dmabuf_memattr']);

/** Those of a kernel that has the series, or of one that has not and so knows less. */
export const meetingsWith = (series: boolean): readonly Meeting[] =>
  MEETINGS.map((it) => ({
    ...it,
    does: it.does.map((each) => each.filter((what) => series || !SERIES.has(what))),
  })).filter(({ does }) => does.every((each) => each.length > 0));
