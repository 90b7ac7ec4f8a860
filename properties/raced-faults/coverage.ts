/** What has failed while what was taken back: command by site by revoke. What should, and does not, fails the run. */
import type { Command } from '../../trace/command.ts';
import { REVOKE_NAMES, type RevokeName } from './revokes.ts';

type Sites = Readonly<Partial<Record<Command['do'], readonly string[]>>>;

const TOLD = ['copy_from_user', 'copy_to_user'];
const NEW_FD = ['alloc_empty_file', 'get_unused_fd'];
const BUFFER = ['dma_buf_export', 'dma_buf_getfile', 'get_unused_fd'];
const AREA = ['iopt_alloc_pages', 'iopt_area_alloc'];
const FILL = ['batch_init', 'iommu_map', 'iommu_alloc_pages'];
const TRACK = 'iopt_dmabuf_track_domain';
const VMA = ['vm_area_alloc', 'vma_iter_prealloc'];
const WAKE = 'pm_runtime_resume_and_get';
/** A domain is made and filled with areas of every kind, and a device gets it. */
const DOMAIN = [
  'iommu_paging_domain_alloc',
  'iommufd_object_alloc',
  'iopt_reserve_iova',
  'iopt_table_add_domain',
  TRACK,
  ...FILL,
  'pin_user_pages',
  'memfd_pin_folios',
  'do_update_pinned',
];
const ATTACH = ['iommufd_hw_pagetable_attach', 'iommu_attach_group'];

/** What each command may lack: every allocation, pin, map, descriptor and copy that it makes. Source: iommufd 5 */
export const SITES: Sites = {
  iommufd_open: [...NEW_FD, 'iommufd_fops_open'],
  ioas_alloc: [...TOLD, 'iommufd_object_alloc'],
  destroy: ['copy_from_user'],
  ioas_iova_ranges: TOLD,
  ioas_allow_iovas: ['copy_from_user', 'iommufd_ioas_load_iovas'],
  ioas_option_huge_pages: TOLD,
  ioas_map: [...TOLD, ...AREA, ...FILL, 'pin_user_pages', 'do_update_pinned'],
  ioas_map_file: [...TOLD, ...AREA, ...FILL, 'dma_buf_dynamic_attach', TRACK, 'memfd_pin_folios', 'do_update_pinned'],
  ioas_copy: [...TOLD, 'iopt_get_pages', 'iopt_area_alloc', ...FILL, TRACK],
  ioas_unmap: TOLD,
  hwpt_alloc: [...TOLD, ...DOMAIN],
  mock_domain: [...TOLD, ...DOMAIN, ...ATTACH, 'iommufd_device_bind', 'iommufd_get_group'],
  mock_domain_destroy: ['copy_from_user'],
  mock_dmabuf: [...BUFFER, 'iommufd_test_dmabuf_get'],
  vfio_open: [...NEW_FD, 'vfio_allocate_device_file'],
  vfio_bind: [
    ...TOLD,
    WAKE,
    'iommufd_device_bind',
    'iommufd_get_group',
    'iommufd_object_alloc',
    'pci_dev_trylock',
    'vfio_config_init',
  ],
  vfio_attach: [...TOLD, ...DOMAIN, ...ATTACH, 'iommu_group_replace_domain', WAKE],
  vfio_detach: ['copy_from_user'],
  vfio_close: [WAKE, 'pci_dev_trylock'],
  vfio_export: ['copy_from_user', WAKE, 'memdup_array_user', 'vfio_pci_core_feature_dma_buf', ...BUFFER],
  vfio_memory: ['copy_from_user', WAKE, 'pci_user_read_config_word', 'pci_user_write_config_word'],
  vfio_reset: [WAKE, 'pci_dev_trylock'],
  vfio_flr: ['copy_from_user', WAKE, 'pci_dev_trylock'],
  vfio_hot_reset: ['copy_from_user', WAKE],
  vfio_power: ['copy_from_user', WAKE],
  vfio_low_power_entry: ['copy_from_user', WAKE],
  vfio_low_power_exit: ['copy_from_user', WAKE],
  vfio_wake: [WAKE],
  vfio_dmabuf_memattr: ['copy_from_user'],
  mem_alloc: VMA,
  memfd_create: [...NEW_FD, 'shmem_get_inode'],
  fd_dup: ['get_unused_fd'],
  bar_mmap: [...VMA, 'copy_from_user', 'dma_buf_export', 'dma_buf_getfile', WAKE, 'vfio_pci_core_mmap'],
  fd_mmap: VMA,
  peek: ['pte_alloc'],
  munmap: ['mas_store_gfp', 'vm_area_dup', 'vma_iter_prealloc'],
  fork: ['__mt_dup', 'dup_fd', 'mm_alloc', 'pte_alloc', 'vm_area_dup'],
};

/** Commands that have no fault point; a new command must say which it is. */
export const WITHOUT: Readonly<Partial<Record<Command['do'], string>>> = {
  iommufd_close: 'close cannot fail',
  fd_close: 'close cannot fail',
  exit: 'an exit only gives back',
  dma_read: 'the device does it, and nobody allocates',
  mock_revoke: 'a revoke needs no memory',
  vfio_dmabuf_revoke: 'a revoke needs no memory, and its argument is in the call',
};

export class RacedCoverage {
  /** By `ioas_map batch_init`, how often by which revoke. */
  readonly pairs = new Map<string, Map<RevokeName, number>>();
  /** Kinds of state, with the call that was made to fail there. */
  readonly kinds = new Set<string>();
  races = 0;

  see(command: string, site: string, revoke: RevokeName, kind: string): void {
    this.races++;
    this.kinds.add(`${command}: ${kind}`);
    const key = `${command} ${site}`;
    const row = this.pairs.get(key) ?? new Map<RevokeName, number>();
    this.pairs.set(key, row);
    row.set(revoke, (row.get(revoke) ?? 0) + 1);
  }

  has(command: string, site: string, revoke: RevokeName): boolean {
    return this.pairs.get(`${command} ${site}`)?.has(revoke) === true;
  }

  /** Pairs that should occur and did not, and that occurred and should not. */
  get wrong(): string[] {
    const expected = Object.entries(SITES).flatMap(([what, sites]) => sites.map((site) => `${what} ${site}`));
    const missing = expected.flatMap((key) =>
      REVOKE_NAMES.filter((name) => this.pairs.get(key)?.has(name) !== true).map((name) => `never: ${key}, ${name}`),
    );
    const more = [...this.pairs.keys()].filter((key) => !expected.includes(key)).map((key) => `not expected: ${key}`);
    return [...missing, ...more];
  }

  /** A row for each command and site, a column for each revoke. */
  get table(): string[] {
    const width = Math.max(0, ...[...this.pairs.keys()].map((key) => key.length));
    const head = `${' '.repeat(width)}  ${REVOKE_NAMES.join('  ')}`;
    const rows = [...this.pairs].toSorted(([a], [b]) => (a < b ? -1 : 1));
    return [
      head,
      ...rows.map(([key, row]) => {
        const cells = REVOKE_NAMES.map((name) => String(row.get(name) ?? '-').padStart(name.length));
        return `${key.padEnd(width)}  ${cells.join('  ')}`;
      }),
    ];
  }
}
