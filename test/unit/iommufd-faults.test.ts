/**
 * Every fault point of every operation: the call fails, the world is as it was, and the same call then succeeds.
 *
 * Source: iommufd 5, I-62, I-63, I-72
 */
import { test } from 'vitest';
import type { Command } from '../../trace/command.ts';
import { type Case, expectUntouched } from './fault-sweep.ts';
import { A, mapFileOf } from './iommufd-rig.ts';

const attach: Command = { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' };
const attachOther: Command = { do: 'vfio_attach', dev: 'dev1', pt: 'other' };
const hwpt: Command = { do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'hwpt' };
const other: Command = { do: 'ioas_alloc', ctx: 'ctx', as: 'other' };
const memory: Command = { do: 'mem_alloc', as: 'm', length: 0x800000n };
const memfd: Command = { do: 'memfd_create', as: 'f', length: 0x800000n };
const mapMemory: Command = {
  do: 'ioas_map',
  ioas: 'ioas',
  mem: 'm',
  offset: 0x1000n,
  length: 0x5000n,
  prot: 'rw',
  iova: 0x200_0000n,
};
const mapMemfd: Command = { ...mapFileOf(), fd: 'f', iova: 0x300_0000n };
/** Spans two areas of different memory: the buffer at A, and the memory that `adjacent` maps above it. */
const copy: Command = {
  do: 'ioas_copy',
  dst: 'ioas',
  src: 'ioas',
  src_iova: A + 0x2000n,
  length: 0x4000n,
  dst_iova: 0x4000_0000n,
  prot: 'rw',
};
const adjacent: Command = { ...mapMemory, iova: A + 0x4000n };

const MAP_SITES = ['iopt_alloc_pages', 'iopt_area_alloc'];
const FILL = ['batch_init', 'iommu_map', 'iommu_alloc_pages'];
const DMABUF_SITES = ['iopt_alloc_pages', 'dma_buf_dynamic_attach', 'iopt_area_alloc'];
const TRACK = 'iopt_dmabuf_track_domain';
const CHARGE = 'do_update_pinned';
const one = { before: [attach], domains: ['dev0'] };
const two = { before: [attach, hwpt], domains: ['dev0', 'hwpt'] };
const copied = [mapFileOf(), memory, adjacent];
const COPY_SITES = ['iopt_get_pages', 'iopt_area_alloc'];

const CASES: readonly Case[] = [
  { name: 'MAP_FILE of a buffer, without a domain', command: mapFileOf(), sites: DMABUF_SITES },
  {
    name: 'MAP_FILE of a buffer, with a domain',
    command: mapFileOf(),
    ...one,
    sites: [...DMABUF_SITES, TRACK, ...FILL],
  },
  { name: 'MAP_FILE of a buffer, with two', command: mapFileOf(), ...two, sites: [...DMABUF_SITES, TRACK, ...FILL] },
  { name: 'MAP, without a domain', command: mapMemory, before: [memory], sites: MAP_SITES },
  {
    name: 'MAP, with a domain',
    command: mapMemory,
    before: [attach, memory],
    domains: ['dev0'],
    sites: [...MAP_SITES, ...FILL, 'pin_user_pages', CHARGE],
  },
  {
    name: 'MAP, with two',
    command: mapMemory,
    before: [attach, hwpt, memory],
    domains: ['dev0', 'hwpt'],
    sites: [...MAP_SITES, ...FILL, 'pin_user_pages', CHARGE],
  },
  {
    name: 'MAP_FILE of a memfd, with two domains',
    command: mapMemfd,
    before: [attach, hwpt, memfd],
    domains: ['dev0', 'hwpt'],
    sites: [...MAP_SITES, ...FILL, 'memfd_pin_folios', CHARGE],
  },
  { name: 'COPY of two pieces, without a domain', command: copy, before: copied, sites: COPY_SITES },
  {
    name: 'COPY of two pieces, with two domains',
    command: copy,
    before: [attach, hwpt, ...copied],
    domains: ['dev0', 'hwpt'],
    sites: [...COPY_SITES, TRACK, ...FILL],
  },
  {
    name: 'COPY of a buffer that is partly in a domain, so in three batches, with two domains',
    command: { ...copy, dst: 'third', src: 'second', src_iova: A, dst_iova: A },
    before: [
      attach,
      { ...other, as: 'second' },
      { ...mapFileOf(), ioas: 'second' },
      { ...copy, src: 'second', src_iova: A + 0x1000n, length: 0x2000n },
      { ...other, as: 'third' },
      { ...hwpt, ioas: 'third' },
      { ...hwpt, ioas: 'third', as: 'hwpt2' },
    ],
    domains: ['dev0', 'hwpt', 'hwpt2'],
    ioases: ['ioas', 'second', 'third'],
    sites: [...COPY_SITES, TRACK, ...FILL],
  },
  {
    name: 'attach to an IOAS with three kinds of memory',
    command: attach,
    before: [...copied, memfd, mapMemfd],
    sites: [
      'iommu_paging_domain_alloc',
      'iommufd_object_alloc',
      'iopt_reserve_iova',
      'iommufd_hw_pagetable_attach',
      'iommu_attach_group',
      'iopt_table_add_domain',
      'batch_init',
      'pin_user_pages',
      'memfd_pin_folios',
      'iommu_map',
      'iommu_alloc_pages',
      TRACK,
      CHARGE,
    ],
  },
  {
    name: 'attach of a second device, whose group joins the domain',
    command: { do: 'vfio_attach', dev: 'dev1', pt: 'ioas' },
    ...one,
    sites: ['iommufd_hw_pagetable_attach', 'iopt_reserve_iova', 'iommu_attach_group'],
  },
  {
    name: 'replace, to another IOAS with memory',
    command: attachOther,
    before: [
      memory,
      other,
      { do: 'vfio_attach', dev: 'dev1', pt: 'ioas' },
      { ...mapMemory, ioas: 'other' },
      { ...mapFileOf(), ioas: 'other' },
    ],
    domains: ['dev1'],
    sites: [
      'iommu_paging_domain_alloc',
      'iommufd_object_alloc',
      'iopt_reserve_iova',
      'iopt_table_add_domain',
      'iommu_group_replace_domain',
      TRACK,
      'batch_init',
      'iommu_map',
      'iommu_alloc_pages',
      'pin_user_pages',
      CHARGE,
    ],
  },
  {
    name: 'replace within an IOAS',
    command: { do: 'vfio_attach', dev: 'dev0', pt: 'hwpt' },
    ...two,
    sites: ['iommu_group_replace_domain'],
  },
  {
    name: 'HWPT_ALLOC as the first domain',
    command: hwpt,
    before: copied,
    sites: [
      'iommu_paging_domain_alloc',
      'iommufd_object_alloc',
      'iopt_reserve_iova',
      'iopt_table_add_domain',
      TRACK,
      'pin_user_pages',
      CHARGE,
      ...FILL,
    ],
  },
  {
    name: 'HWPT_ALLOC as the second domain',
    command: hwpt,
    before: [attach, ...copied],
    domains: ['dev0'],
    sites: [
      'iommu_paging_domain_alloc',
      'iommufd_object_alloc',
      'iopt_reserve_iova',
      'iopt_table_add_domain',
      TRACK,
      ...FILL,
    ],
  },
  { name: 'IOAS_ALLOC', command: other, sites: ['iommufd_object_alloc'] },
  {
    name: 'open of /dev/iommu',
    command: { do: 'iommufd_open', as: 'more' },
    sites: ['alloc_empty_file', 'iommufd_fops_open', 'get_unused_fd'],
  },
  { name: 'memfd_create', command: memfd, sites: ['shmem_get_inode', 'alloc_empty_file', 'get_unused_fd'] },
  { name: 'dup of a buffer', command: { do: 'fd_dup', fd: 'buf', as: 'twin' }, sites: ['get_unused_fd'] },
  {
    name: 'open of a device',
    command: { do: 'vfio_open', dev: 'dev1' },
    before: [{ do: 'vfio_close', dev: 'dev1' }],
    sites: ['alloc_empty_file', 'get_unused_fd'],
  },
  {
    name: 'bind',
    command: { do: 'vfio_bind', dev: 'dev1', ctx: 'ctx' },
    before: [
      { do: 'vfio_close', dev: 'dev1' },
      { do: 'vfio_open', dev: 'dev1' },
    ],
    sites: ['iommufd_get_group', 'iommufd_device_bind', 'iommufd_object_alloc'],
  },
];

test.each(CASES.map((each) => [each.name, each] as const))(
  '%s: at every fault point, leaves all as it was, and then succeeds',
  (_, each) => expectUntouched(each),
);
