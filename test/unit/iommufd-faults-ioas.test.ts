/** Every fault point of what is set on an IOAS, of mock devices and of test buffers. Source: iommufd 5, I-48, I-62 */
import { test } from 'vitest';
import type { Command } from '../../trace/command.ts';
import { type Case, expectUntouched } from './fault-sweep.ts';
import { A, mapFileOf } from './iommufd-rig.ts';

const attach: Command = { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' };
const hwpt: Command = { do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'hwpt' };
const memory: Command = { do: 'mem_alloc', as: 'm', length: 0x8000n };
const mapMemory: Command = {
  do: 'ioas_map',
  ioas: 'ioas',
  mem: 'm',
  offset: 0x1000n,
  length: 0x5000n,
  prot: 'rw',
  iova: A + 0x4000n,
};
const copied = [mapFileOf(), memory, mapMemory];
const TRACK = 'iopt_dmabuf_track_domain';
const FILL = ['batch_init', 'iommu_map', 'iommu_alloc_pages'];
const DMABUF_SITES = ['iopt_alloc_pages', 'dma_buf_dynamic_attach', 'iopt_area_alloc'];

const CASES: readonly Case[] = [
  {
    name: 'ALLOW_IOVAS of two ranges',
    command: {
      do: 'ioas_allow_iovas',
      ioas: 'ioas',
      ranges: [
        [0x1000n, 0x1fffn],
        [0x3000n, 0x3fffn],
      ],
    },
    sites: ['copy_from_user', 'iommufd_ioas_load_iovas'],
  },
  {
    name: 'MOCK_DOMAIN, of an IOAS with two kinds of memory',
    command: { do: 'mock_domain', ioas: 'ioas', as: 'h', dev: 'md' },
    before: copied,
    sites: [
      'iommufd_get_group',
      'iommufd_device_bind',
      'iommufd_hw_pagetable_attach',
      'iommufd_object_alloc',
      'iommu_paging_domain_alloc',
      'iopt_reserve_iova',
      'iommu_attach_group',
      'iopt_table_add_domain',
      TRACK,
      'pin_user_pages',
      ...FILL,
      'do_update_pinned',
    ],
  },
  {
    name: 'MOCK_DOMAIN, of a HWPT',
    command: { do: 'mock_domain', ioas: 'hwpt', as: 'h', dev: 'md' },
    before: [...copied, hwpt],
    domains: ['hwpt'],
    sites: [
      'iommufd_get_group',
      'iommufd_device_bind',
      'iommufd_object_alloc',
      'iommufd_hw_pagetable_attach',
      'iopt_reserve_iova',
      'iommu_attach_group',
    ],
  },
  {
    name: 'making a test buffer',
    command: { do: 'mock_dmabuf', as: 'test', length: 0x4000n },
    sites: ['iommufd_test_dmabuf_get', 'dma_buf_getfile', 'dma_buf_export', 'get_unused_fd'],
  },
  {
    name: 'MAP_FILE of a test buffer, with a domain',
    command: { ...mapFileOf(), fd: 'test' },
    before: [attach, { do: 'mock_dmabuf', as: 'test', length: 0x4000n }],
    domains: ['dev0'],
    sites: [...DMABUF_SITES, TRACK, ...FILL],
  },
];

test.each(CASES.map((each) => [each.name, each] as const))(
  '%s: at every fault point, leaves all as it was, and then succeeds',
  (_, each) => expectUntouched(each),
);
