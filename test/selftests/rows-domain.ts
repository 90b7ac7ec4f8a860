/** Rows of the other fixtures, and of fault injection. Source: iommufd 6.4 */
import { literal, type Row, scenario, traced, unit } from './row.ts';

export const DOMAIN_ROWS: readonly Row[] = [
  {
    id: 'T-50',
    name: 'iommufd_mock_domain.basic (memory)',
    traces: traced(
      'basic-memory-one-domain',
      'basic-memory-two-domains',
      'basic-memory-one-domain-hugepage',
      'basic-memory-two-domains-hugepage',
    ),
    tests: [literal('mock-domain', 'basic: a page is mapped, and memory of which half or all is gone is EFAULT')],
    note: 'the upper half of the memory was never there',
  },
  {
    id: 'T-51',
    name: 'iommufd_mock_domain.basic (file)',
    traces: traced(
      'basic-file-one-domain',
      'basic-file-two-domains',
      'basic-file-one-domain-hugepage',
      'basic-file-two-domains-hugepage',
    ),
    tests: [literal('mock-domain', 'basic, of a file: a page is mapped, and what lies behind its end is EINVAL')],
    without: 'ftruncate: no file grows shorter here',
  },
  {
    id: 'T-52',
    name: 'iommufd_mock_domain.ro_unshare',
    not: 'memory of a process is never shared with a file or another mapping here, so there is no page to be unshared',
  },
  {
    id: 'T-53',
    name: 'iommufd_mock_domain.all_aligns',
    traces: traced('all-aligns-one-domain', 'all-aligns-two-domains', 'all-aligns-one-domain-file'),
    tests: [literal('mock-domain', 'all_aligns: whatever part of %s is mapped, its pages are pinned once')],
    note: 'in its hugepage variants the loop of the kernel maps nothing',
  },
  {
    id: 'T-54',
    name: 'iommufd_mock_domain.all_aligns_copy',
    traces: traced('all-aligns-copy-one-domain', 'all-aligns-copy-two-domains'),
    tests: [literal('mock-domain', 'all_aligns_copy: a device that comes and goes pins nothing more of %s')],
    note: 'as T-53',
  },
  {
    id: 'T-55',
    name: 'iommufd_mock_domain.user_copy',
    traces: traced('user-copy-one-domain', 'user-copy-two-domains'),
    tests: [
      literal(
        'accesses',
        'user_copy: a copy outlives the IOAS that it was copied from, whatever accesses have pinned there',
      ),
    ],
  },
  {
    id: 'T-56',
    name: 'iommufd_mock_domain.replace',
    traces: traced('replace-one-domain', 'replace-two-domains'),
    tests: [
      literal(
        'mock-domain',
        'replace: a device goes to another IOAS, to the same again, to a HWPT that is still there, and back',
      ),
    ],
  },
  {
    id: 'T-57',
    name: 'iommufd_mock_domain.alloc_hwpt',
    traces: [scenario('selftest-alloc-hwpt')],
    tests: [
      literal(
        'mock-domain',
        'alloc_hwpt: a HWPT that a device is attached to is EBUSY, and can be left and come back to',
      ),
    ],
  },
  {
    id: 'T-60',
    name: 'change_process.basic',
    tests: [
      literal(
        'container',
        'change_process.basic, %s: memory cannot be handed over; pages of a file are counted for whoever asks last',
      ),
    ],
  },
  {
    id: 'T-61',
    name: 'vfio_compat_mock_domain.simple_close',
    tests: [literal('container', 'simple_close: an IOAS, a device and a version, and all of it is closed')],
  },
  {
    id: 'T-62',
    name: 'vfio_compat_mock_domain.option_huge_pages',
    tests: [literal('container', 'option_huge_pages: version 2 has large pages, the first has none')],
  },
  {
    id: 'T-63',
    name: 'vfio_compat_mock_domain.get_info',
    tests: [
      literal(
        'container',
        'get_info: of every length from 16 on, no chain or a whole one, and nothing behind what was offered',
      ),
    ],
  },
  {
    id: 'T-64',
    name: 'vfio_compat_mock_domain.map',
    tests: [
      literal(
        'container',
        'map: what is unmapped says its size, once more 0; everything at once; page by page in any order',
      ),
    ],
  },
  {
    id: 'T-65',
    name: 'vfio_compat_mock_domain.huge_map',
    tests: [
      literal('container', 'huge_map: sixteenths of two huge pages are unmapped one by one, in version 2 none of them'),
    ],
  },
  {
    id: 'T-70',
    name: 'iommufd_dirty_tracking.enforce_dirty',
    tests: [
      literal(
        'dirty',
        'iommufd_dirty_tracking.enforce_dirty: a device that cannot tell is not attached, and gets no such HWPT',
      ),
      unit('iommufd-dirty', 'T-70: DIRTY_TRACKING of a device that cannot, and then the device, alone or in a group'),
      unit(
        'iommufd-dirty',
        'T-70: a group goes to a domain with dirty bits only if all of its attached devices can set them',
      ),
    ],
  },
  {
    id: 'T-71',
    name: 'iommufd_dirty_tracking.set, pasid_set, device_capability',
    tests: [literal('dirty', 'iommufd_dirty_tracking.set: tracking is enabled, and disabled')],
    without: 'PASIDs, of which there are none here, and capabilities, as T-26',
  },
  {
    id: 'T-72',
    name: 'iommufd_dirty_tracking.get_dirty_bitmap, get_dirty_bitmap_no_clear',
    tests: [
      literal('dirty', 'iommufd_dirty_tracking.%s: exactly what was written, wherever the bitmap begins'),
      unit('iommufd-dirty', 'a page that was written is told once, or as long as NO_CLEAR is asked for'),
    ],
    without: 'the pointer to the bitmap in memory of the user; and large pages are off, as 7.3 has the test',
  },
  {
    id: 'T-73',
    name: 'iommufd_viommu.hw_queue',
    tests: [
      literal(
        'accesses',
        'iommufd_viommu.hw_queue: the page that a queue lies on cannot be unmapped until the queue is gone',
      ),
      unit('access-unmap', 'locks what it has pinned: UNMAP is EBUSY, and of anything else it is not (T-73)'),
    ],
    note: 'the queue is the access by which it pins; it has no viommu',
  },
  {
    id: 'T-80',
    name: 'iommufd_fail_nth.basic_fail_nth',
    tests: [literal('fail-nth', 'basic_fail_nth: ranges, what is allowed, map, copy, unmap, unmap again')],
  },
  { id: 'T-81', name: 'iommufd_fail_nth.map_domain', tests: [literal('fail-nth', 'map_domain')] },
  { id: 'T-82', name: 'iommufd_fail_nth.map_file_domain', tests: [literal('fail-nth', 'map_file_domain')] },
  {
    id: 'T-83',
    name: 'iommufd_fail_nth.map_two_domains',
    tests: [literal('fail-nth', 'map_two_domains, of which the first is not made to fail')],
  },
  {
    id: 'T-84',
    name: 'iommufd_fail_nth.access_rw',
    tests: [literal('fail-nth', 'access_rw: by the process, and by the slow path')],
  },
  {
    id: 'T-85',
    name: 'iommufd_fail_nth.access_pin, access_pin_domain',
    tests: [literal('fail-nth', 'access_pin'), literal('fail-nth', 'access_pin_domain')],
    note: 'with 16 pages, not 512',
  },
  {
    id: 'T-86',
    name: 'iommufd_fail_nth.device',
    tests: [
      literal('fail-nth', 'device: two IOASes with a page each, a HWPT, and a device that goes from one to the other'),
    ],
    without: 'nested tables and viommus',
  },
];
