/** What is made to fail while memory is taken back: calls of drivers, for which traces have no command, and others. */
import { type Importer, importerMap, importerUnmap } from '../../impl/importers/importer.ts';
import { DmaIommu } from '../../impl/iommu/dma-iommu.ts';
import { ACCESS_RW_SLOW_PATH } from '../../impl/iommufd/access-rw.ts';
import { handOverToCaller } from '../../impl/iommufd/accounting.ts';
import { ioasChangeProcess } from '../../impl/iommufd/change-process.ts';
import { type MockAccess, mockAccessPages, mockAccessRw } from '../../impl/iommufd/mock-access.ts';
import type { Errno } from '../../impl/kernel/errno.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import { bytes, fromBigint } from '../../impl/kernel/units.ts';
import type { Command } from '../../trace/command.ts';
import { MAP } from '../unit/access-rig.ts';
import { A, mapFileOf } from '../unit/iommufd-rig.ts';
import { SparseDomain } from '../unit/sg-rig.ts';
import type { Driver, World } from './fault-world.ts';

export type Operation = Command | ((world: World) => Thread<unknown>);

export interface Scene {
  readonly before: readonly Command[];
  /** What drivers have done before. */
  readonly drivers?: readonly Driver[];
  readonly operation: Operation;
  readonly preemptions?: number;
  /** What the user is not told of stays done. */
  readonly staysUntold?: true;
  /** Fault points without which the operation does as well. */
  readonly getsBy?: readonly string[];
  /** Fault points at which it fails. */
  readonly sites: readonly string[];
  /** What is answered then, where it is not EFAULT for a copy or a pin, and ENOMEM for all else. */
  readonly answers?: Readonly<Record<string, Errno>>;
}

export const REVOKE: Command = { do: 'vfio_memory', dev: 'dev0', enable: false };
export const restore: Command = { ...REVOKE, enable: true };
const attach: Command = { do: 'vfio_attach', dev: 'dev1', pt: 'ioas' };
const hwpt: Command = { do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'h' };
const other: Command = { do: 'ioas_alloc', ctx: 'ctx', as: 'other' };
const B = A + 0x10_0000n;
/** Two areas of the buffer, side by side, and one of memory. */
const areas: readonly Command[] = [
  mapFileOf(),
  { ...mapFileOf(), iova: A + 0x4000n, start: 0x8000n },
  { ...MAP, iova: B },
];
const copy: Command = {
  do: 'ioas_copy',
  dst: 'other',
  src: 'ioas',
  src_iova: A + 0x1000n,
  length: 0x6000n,
  dst_iova: A,
  prot: 'rw',
};
const unmap: Command = { do: 'ioas_unmap', ioas: 'ioas', iova: 0n, length: 2n ** 64n - 1n };
const mapMemfd: Command = { ...mapFileOf(), fd: 'f' };

const COPIES = ['copy_from_user', 'copy_to_user'];
const TRACK = 'iopt_dmabuf_track_domain';
const FILL = ['batch_init', 'iommu_map', 'iommu_alloc_pages'];
/** Without one, each range has addresses of its own. */
const WINDOW = 'dma_iova_try_alloc';
const PIN = ['pin_user_pages', 'do_update_pinned'];
const DOMAIN = [
  'iommu_paging_domain_alloc',
  'iommufd_object_alloc',
  'iopt_reserve_iova',
  'iopt_table_add_domain',
  TRACK,
  ...FILL,
  ...PIN,
];

/** What a driver has done before; it must not be refused. */
const done =
  (call: (world: World) => Thread<Errno | undefined>) =>
  (world: World): void => {
    const refused = world.call(call(world));
    if (refused !== undefined) throw new Error(`a driver is refused: ${refused}`);
  };
const accessed = done((world) => world.createAccess());
const imported = done((world) => world.attachImporter());
const contained = (world: World): void => world.openContainer();

function* mapAndUnmap(importer: Importer): Thread<Errno | undefined> {
  const refused = yield* importerMap(importer);
  if (refused === undefined) yield* importerUnmap(importer);
  return refused;
}

export const SCENES: Readonly<Record<string, Scene>> = {
  'MAP_FILE of the buffer, with two domains': {
    before: [attach, hwpt],
    operation: mapFileOf(),
    staysUntold: true,
    sites: [...COPIES, 'iopt_alloc_pages', 'dma_buf_dynamic_attach', 'iopt_area_alloc', TRACK, ...FILL],
  },
  'COPY of two areas of the buffer': {
    before: [...areas, other, { ...hwpt, ioas: 'other' }, { ...hwpt, ioas: 'other', as: 'h2' }],
    operation: copy,
    staysUntold: true,
    sites: [...COPIES, 'iopt_get_pages', 'iopt_area_alloc', TRACK, ...FILL],
  },
  'ATTACH of the first domain': {
    before: areas,
    operation: attach,
    sites: [...COPIES, ...DOMAIN, 'iommufd_hw_pagetable_attach', 'iommu_attach_group'],
  },
  'HWPT_ALLOC of the second domain': {
    before: [...areas, attach],
    operation: hwpt,
    sites: [...COPIES, ...DOMAIN].filter((site) => !PIN.includes(site)),
  },
  'UNMAP of everything': {
    before: [...areas, attach],
    operation: unmap,
    staysUntold: true,
    sites: COPIES,
  },
  'CHANGE_PROCESS, of a context of files': {
    before: [attach, mapMemfd],
    operation: (rig) => ioasChangeProcess(rig.ioas().ctx, 0, handOverToCaller),
    sites: ['charge_current'],
  },
  'an access that pins memory beside the buffer': {
    before: areas,
    drivers: [accessed],
    operation: ({ mock }) =>
      mockAccessPages(mock as MockAccess, { iova: fromBigint(B), length: bytes(0x3000), flags: 1 }),
    sites: ['iopt_area_add_access', 'batch_init', 'pages_to_xarray', 'mock_access_item', ...PIN],
  },
  'an access that attaches': {
    before: areas,
    operation: (world) => world.createAccess(),
    sites: ['iommufd_object_alloc', 'iopt_add_access'],
  },
  'an access that reads a page': {
    before: areas,
    drivers: [accessed],
    operation: ({ mock, machine }) =>
      mockAccessRw(mock as MockAccess, fromBigint(B), new Uint8Array(0x10), ACCESS_RW_SLOW_PATH, machine.mm),
    sites: ['iopt_pages_rw_page', 'pin_user_pages'],
    answers: { iopt_pages_rw_page: 'EINVAL' },
  },
  'an importer that attaches': {
    before: [],
    operation: (world) => world.attachImporter(),
    sites: ['dma_buf_dynamic_attach'],
  },
  'an importer that maps, and unmaps': {
    before: [],
    drivers: [imported],
    operation: ({ importer }) => mapAndUnmap(importer as Importer),
    sites: ['dma_buf_phys_vec_to_sgt', 'dma_iova_state', 'dma_map_phys', 'sg_alloc_table'],
  },
  'the same behind an IOMMU, with a window of its own': {
    before: [],
    drivers: [
      done((world) => world.attachImporter(new DmaIommu({ domain: new SparseDomain(), aperture: [0, 2 ** 40] }))),
    ],
    operation: ({ importer }) => mapAndUnmap(importer as Importer),
    sites: ['dma_buf_phys_vec_to_sgt', 'dma_iova_state', 'dma_iova_link', 'dma_iova_sync', 'sg_alloc_table', WINDOW],
    getsBy: [WINDOW],
  },
  'work of an importer': {
    before: [],
    drivers: [imported],
    operation: (world) => world.submit(),
    sites: ['dma_resv_reserve_fences'],
  },
  'a token that is registered': {
    before: [],
    operation: (world) => world.register(),
    sites: ['io_dmabuf_token_create', 'dma_buf_dynamic_attach'],
  },
  'MAP_DMA of a container': {
    before: areas,
    drivers: [contained, done((world) => world.joinContainer())],
    operation: (world) => world.mapDma(),
    sites: ['vfio_dma', 'pin_user_pages', 'iommu_map', 'iommu_alloc_pages'],
    answers: { pin_user_pages: 'ENOMEM' },
  },
  'the first group of a container that has mapped memory': {
    before: areas,
    drivers: [contained, done((world) => world.mapDma())],
    operation: (world) => world.joinContainer(),
    sites: ['vfio_iommu_group', 'pin_user_pages', 'iommu_map', 'iommu_alloc_pages'],
    answers: { pin_user_pages: 'ENOMEM' },
  },
};
