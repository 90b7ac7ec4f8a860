/** Rows of the fixtures `iommufd` and `iommufd_ioas`. Source: iommufd 6.2, 6.3 */
import { everyVariant, literal, type Row, recorded, scenario, traced } from './row.ts';

export const IOAS_ROWS: readonly Row[] = [
  { id: 'T-01', name: 'iommufd.simple_close', traces: traced('simple-close') },
  {
    id: 'T-02',
    name: 'iommufd.cmd_fail',
    tests: [
      literal(
        'iommufd',
        'iommufd.cmd_fail: nobody is destroyed, no structure is read at 0, and no command has number 0x7f',
      ),
    ],
  },
  {
    id: 'T-03',
    name: 'iommufd.cmd_length',
    tests: [
      literal(
        'iommufd',
        'iommufd.cmd_length: a byte too few is EINVAL, one too many E2BIG unless it is zero, by twelve structures',
      ),
    ],
    without: 'four of sixteen commands, not there: GET_HW_INFO, HWPT_INVALIDATE, VIOMMU_ALLOC, VDEVICE_ALLOC',
  },
  {
    id: 'T-04',
    name: 'iommufd.cmd_ex_fail',
    tests: [
      literal(
        'iommufd',
        'iommufd.cmd_ex_fail: DESTROY of nobody is ENOENT with eight zeros more, E2BIG with anything else there',
      ),
    ],
  },
  {
    id: 'T-05',
    name: 'iommufd.global_options',
    tests: [
      literal(
        'iommufd',
        'iommufd.global_options: the mode is 0, can be 1, and no more; large pages are no option of the context',
      ),
    ],
  },
  {
    id: 'T-06',
    name: 'iommufd.simple_ioctls',
    tests: [
      literal('iommufd', 'iommufd.simple_ioctls: the container is of version 0, and can be of type 1, version 2'),
    ],
  },
  {
    id: 'T-07',
    name: 'iommufd.unmap_cmd',
    tests: [
      literal(
        'iommufd',
        'iommufd.unmap_cmd, map_cmd, info_cmd: EINVAL for size and flags, and ENODEV without a compat IOAS',
      ),
    ],
  },
  {
    id: 'T-08',
    name: 'iommufd.map_cmd',
    tests: [
      literal(
        'iommufd',
        'iommufd.unmap_cmd, map_cmd, info_cmd: EINVAL for size and flags, and ENODEV without a compat IOAS',
      ),
    ],
  },
  {
    id: 'T-09',
    name: 'iommufd.info_cmd',
    tests: [
      literal(
        'iommufd',
        'iommufd.unmap_cmd, map_cmd, info_cmd: EINVAL for size and flags, and ENODEV without a compat IOAS',
      ),
    ],
  },
  {
    id: 'T-10',
    name: 'iommufd.set_iommu_cmd',
    tests: [literal('iommufd', 'iommufd.set_iommu_cmd: neither version without a compat IOAS')],
  },
  {
    id: 'T-11',
    name: 'iommufd.vfio_ioas',
    tests: [literal('iommufd', 'iommufd.vfio_ioas: there is none, then the one that was set, then none')],
  },
  { id: 'T-20', name: 'iommufd_ioas.ioas_auto_destroy', traces: everyVariant('ioas-auto-destroy') },
  { id: 'T-21', name: 'iommufd_ioas.ioas_destroy', traces: recorded('ioas-destroy') },
  {
    id: 'T-22',
    name: 'iommufd_ioas.alloc_hwpt_nested',
    tests: [
      literal(
        'mock-domain',
        'iommufd_ioas, %s, alloc_hwpt_nested: what is no device, what is no page table, and a parent',
      ),
    ],
    without: 'nested tables: there is no nested translation here, and no invalidation of its caches',
  },
  {
    id: 'T-23',
    name: 'iommufd_ioas.hwpt_attach',
    traces: everyVariant('hwpt-attach'),
    tests: [literal('ioas', 'hwpt_attach: a device is attached by the number of a HWPT, and by 0 it is not')],
  },
  { id: 'T-24', name: 'iommufd_ioas.ioas_area_destroy', traces: everyVariant('ioas-area-destroy') },
  { id: 'T-25', name: 'iommufd_ioas.ioas_area_auto_destroy', traces: everyVariant('ioas-area-auto-destroy') },
  {
    id: 'T-26',
    name: 'iommufd_ioas.get_hw_info',
    not: 'what the hardware can do is asked of its driver, and concerns no mapping',
  },
  { id: 'T-27', name: 'iommufd_ioas.area', traces: recorded('area') },
  { id: 'T-28', name: 'iommufd_ioas.unmap_fully_contained_areas', traces: recorded('unmap-fully-contained') },
  {
    id: 'T-29',
    name: 'iommufd_ioas.area_auto_iova',
    traces: everyVariant('area-auto-iova'),
    tests: [
      literal('ioas', 'area_auto_iova: aligned as the length is, outside what is reserved, inside what is allowed'),
    ],
  },
  {
    id: 'T-30',
    name: 'iommufd_ioas.reserved_overflow',
    tests: [
      literal('ioas', 'reserved_overflow: nearly everything may be reserved once more, and then there is no room'),
    ],
  },
  {
    id: 'T-31',
    name: 'iommufd_ioas.area_allowed',
    traces: recorded('area-allowed'),
    tests: [literal('ioas', 'area_allowed: what is allowed cannot be reserved, nor what is reserved be allowed')],
  },
  { id: 'T-32', name: 'iommufd_ioas.copy_area', traces: recorded('copy-area') },
  {
    id: 'T-33',
    name: 'iommufd_ioas.iova_ranges',
    traces: recorded('iova-ranges'),
    tests: [
      literal(
        'ioas',
        'iova_ranges: as many as there is room for, and how many there are, before and after a reservation',
      ),
    ],
  },
  {
    id: 'T-34',
    name: 'iommufd_ioas.access_domain_destory',
    tests: [
      literal('accesses', 'access_domain_destory: pages stay pinned when the domain goes, until they are unpinned'),
    ],
  },
  {
    id: 'T-35',
    name: 'iommufd_ioas.access_pin',
    traces: everyVariant('access-pin'),
    tests: [
      literal('accesses', 'access_pin: any number of pages, once or twice, and a device that comes and goes meanwhile'),
    ],
  },
  {
    id: 'T-36',
    name: 'iommufd_ioas.access_pin_unmap',
    tests: [
      literal(
        'accesses',
        'access_pin_unmap: UNMAP has the access let go, so that there is nothing left to be unpinned',
      ),
    ],
  },
  {
    id: 'T-37',
    name: 'iommufd_ioas.access_rw',
    tests: [literal('accesses', 'access_rw: by the %s path every byte around the end of a page, and the whole buffer')],
  },
  {
    id: 'T-38',
    name: 'iommufd_ioas.access_rw_unaligned',
    tests: [literal('accesses', 'access_rw_unaligned: the same of an IOVA in the middle of a page')],
  },
  {
    id: 'T-39',
    name: 'iommufd_ioas.fork_gone',
    tests: [
      literal(
        'accesses',
        'fork_gone: memory of a process that has ended is there as far as a domain has it, and else EFAULT',
      ),
    ],
  },
  {
    id: 'T-40',
    name: 'iommufd_ioas.fork_present',
    tests: [literal('accesses', 'fork_present: memory of another process that lives is pinned, read and written')],
  },
  {
    id: 'T-41',
    name: 'iommufd_ioas.ioas_option_huge_pages',
    traces: recorded('option-huge-pages'),
    tests: [literal('ioas', 'ioas_option_huge_pages: on at first, and what was set last, 0 or 1')],
  },
  {
    id: 'T-42',
    name: 'iommufd_ioas.ioas_iova_alloc',
    traces: recorded('iova-alloc'),
    tests: [
      literal(
        'ioas',
        'ioas_iova_alloc: every length up to two pages is placed, with a domain every multiple of half a page',
      ),
    ],
  },
  { id: 'T-43', name: 'iommufd_ioas.ioas_align_change', traces: [scenario('selftest-align-change-no-domain')] },
  {
    id: 'T-44',
    name: 'iommufd_ioas.copy_sweep',
    traces: [...recorded('copy-sweep'), ...everyVariant('copy-sweep')],
    tests: [
      literal(
        'ioas',
        'copy_sweep: a source at every multiple of 511 is copied if all of it is mapped, and else ENOENT',
      ),
    ],
  },
  { id: 'T-45', name: 'iommufd_ioas.dmabuf_simple', traces: recorded('dmabuf-simple') },
  { id: 'T-46', name: 'iommufd_ioas.dmabuf_revoke', traces: recorded('dmabuf-revoke') },
];
