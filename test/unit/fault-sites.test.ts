/**
 * The list of fault points. No tool sees an allocation that the kernel has and that is missing here; but a new point
 * without a rule is seen, a rule without a point, and an answer for want of memory that no fault point gives.
 */
import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { RULES } from '../../properties/faults/rules.ts';

const SOURCES = globSync('impl/**/*.ts').map((path) => ({ path, text: readFileSync(path, 'utf8') }));

/** Sites that no command of the format meets, because it has none for them, and the tests that make them fail. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  VM_FAULT_RETRY: 'type1-bar',
  charge_current: 'change-process-charges',
  dma_buf_phys_vec_to_sgt: 'sg-faults',
  dma_iova_link: 'sg-faults',
  dma_iova_state: 'sg-faults',
  dma_iova_sync: 'sg-faults',
  dma_iova_try_alloc: 'sg-faults',
  dma_map_phys: 'sg-faults',
  dma_resv_reserve_fences: 'dmabuf-resv',
  io_dmabuf_map_create: 'dma-token',
  io_dmabuf_token_create: 'dma-token',
  iopt_add_access: 'access-faults',
  iopt_area_add_access: 'access-faults',
  iopt_area_split: 'vfio-compat-faults',
  iopt_pages_rw_page: 'access-faults',
  iova_bitmap_alloc: 'iommufd-dirty',
  mock_access_item: 'access-faults',
  nvgrace_gpu_wait_device_ready: 'nvgrace',
  pages_to_xarray: 'access-faults',
  pcim_p2pdma_init: 'vfio-p2pdma',
  sg_alloc_table: 'sg-faults',
  vfio_dma: 'type1-ram',
  vfio_iommu_group: 'type1-ioctl',
};

/** Fault points by their names: of shouldFail itself, and of what hands a name on to it. */
const POINT = /(?:shouldFail\(|driverRefuses\(.*, )'([^']+)'/g;

test('each fault point has a rule, or a test of its own; and the other way round', () => {
  const sites = new Set(SOURCES.flatMap(({ text }) => [...text.matchAll(POINT)].map(([, site]) => site as string)));
  expect([...sites].toSorted()).toEqual([...Object.keys(RULES), ...Object.keys(ELSEWHERE)].toSorted());
});

test.each(Object.entries(ELSEWHERE))('%s, which no command meets, fails in %s', (site, file) => {
  const text = readFileSync(`test/unit/${file}.test.ts`, 'utf8');
  // Either by name, or by number, whatever the names are.
  expect(text.includes(`'${site}'`) || text.includes('faults.arm(nth)')).toBe(true);
});

/** The failure points of the document, row by row, and the sites that stand for them. Source: iommufd 5 */
const FAILURE_POINTS: Readonly<Record<string, readonly string[]>> = {
  'MAP, area allocation': ['iopt_area_alloc'],
  'COPY, k-th piece': ['iopt_get_pages', 'iopt_area_alloc'],
  'MAP, tracker entry k': ['iopt_dmabuf_track_domain'],
  'MAP, batch buffer': ['batch_init'],
  'MAP, pin part-way': ['pin_user_pages', 'memfd_pin_folios'],
  'MAP, iommu_map of run r in domain d': ['iommu_map', 'iommu_alloc_pages'],
  'MAP, accounting': ['do_update_pinned', 'charge_current'],
  'COPY, piece k fill': ['iopt_dmabuf_track_domain', 'batch_init', 'iommu_map'],
  'MAP and COPY, ioctl write-back': ['copy_to_user'],
  'domain add, area k': ['iopt_table_add_domain', 'iopt_dmabuf_track_domain', 'batch_init', 'iommu_map'],
  'device attach, reserved region i': ['iopt_reserve_iova'],
  'device attach, hardware attach': ['iommu_attach_group', 'iommu_group_replace_domain', 'iommufd_hw_pagetable_attach'],
  'auto attach, domain add': ['iommu_paging_domain_alloc', 'iommufd_object_alloc', 'iopt_table_add_domain'],
  'access attach': ['iopt_add_access'],
  ALLOW_IOVAS: ['copy_from_user', 'iommufd_ioas_load_iovas'],
  split: ['iopt_area_split'],
  'MAP_FILE of a dma-buf': ['iopt_alloc_pages', 'dma_buf_dynamic_attach'],
  'test builds, pfn store mid-way': ['pages_to_xarray'],
  'test builds, single-page rw': ['iopt_pages_rw_page'],
};

/** Rows that are no want of anything, so that nothing can be made to fail. */
const NO_POINT: Readonly<Record<string, string>> = {
  'MAP, placement': 'a matter of what is there',
  'HUGE_PAGES=0, alignment': 'a matter of what is there',
  UNMAP: 'cannot fail once an area is chosen',
  'test builds, object lookup': 'the same as a number that is wrong',
  'test builds, device reserved-region collection': 'the regions of a device are given with the machine',
};

test('each failure point of the document has its sites', () => {
  const known = [...Object.keys(RULES), ...Object.keys(ELSEWHERE)];
  const unknown = Object.values(FAILURE_POINTS).flatMap((sites) => sites.filter((site) => !known.includes(site)));
  expect(unknown).toEqual([]);
  expect(Object.keys(FAILURE_POINTS).filter((row) => row in NO_POINT)).toEqual([]);
});

/** Where an errno for want of something is a limit, or handed on from a point: how often, by file. */
const LIMITS: Readonly<Record<string, number>> = {
  'impl/importers/dma-token.ts': 1,
  'impl/iommu/dma-direct.ts': 1,
  'impl/iommu/dma-iommu.ts': 1,
  'impl/iommu/page-table.ts': 1,
  'impl/iommufd/accounting.ts': 3,
  'impl/iommufd/mock-access.ts': 2,
  'impl/kernel/fork.ts': 1,
  'impl/kernel/mm.ts': 3,
  'impl/kernel/mmap.ts': 1,
  'impl/type1/follow.ts': 1,
  'impl/type1/pin.ts': 1,
  'impl/uapi/vfio-feature.ts': 1,
  'impl/vfio/egm.ts': 1,
  'impl/vfio/vfio-device.ts': 1,
};

test('an answer for want of memory or descriptors comes from a fault point, or is a limit that is listed', () => {
  const found: Record<string, number> = {};
  for (const { path, text } of SOURCES) {
    const lines = text.split('\n').filter((line) => /(return|[?:]) .*'(ENOMEM|EMFILE)'/.test(line));
    const bare = lines.filter((line) => !line.includes('shouldFail') && !line.includes('): '));
    if (bare.length > 0) found[path] = bare.length;
  }
  expect(found).toEqual(LIMITS);
});
