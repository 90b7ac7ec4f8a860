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
