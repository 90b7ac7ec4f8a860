/** What dma-bufs do that no test of the kernel asks for. Source: iommufd 6.5 */
import { type Row, scenario, unit } from './row.ts';

export const DERIVED_ROWS: readonly Row[] = [
  {
    id: 'G-01',
    name: 'a revoke unmaps both domains',
    traces: [scenario('mock-revoke-two-domains')],
    tests: [
      unit(
        'iommufd-scenarios',
        'G-01: a revoke unmaps both domains, the first first; a second revoke and UNMAP call neither',
      ),
    ],
  },
  {
    id: 'G-02',
    name: 'UNMAP of a part',
    tests: [unit('iommufd-scenarios', 'G-02: UNMAP of a part is ENOENT and calls nothing, revoked or not')],
  },
  {
    id: 'G-03',
    name: 'a slice within pages',
    tests: [
      unit(
        'iommufd-scenarios',
        'G-03, G-04: a slice that begins and ends within pages is mapped to the byte, and so is a copy',
      ),
    ],
  },
  {
    id: 'G-04',
    name: 'a copy of it',
    tests: [
      unit(
        'iommufd-scenarios',
        'G-03, G-04: a slice that begins and ends within pages is mapped to the byte, and so is a copy',
      ),
    ],
  },
  {
    id: 'G-05',
    name: 'errors of a revoked buffer',
    traces: [scenario('mock-error-order')],
    tests: [
      unit('iommufd-scenarios', 'G-05: a revoked buffer is ENODEV before alignment, EINVAL for its size before that'),
      unit(
        'iommufd-test-dmabuf',
        'makes MAP_FILE fail by its size first, then ENODEV, then by its place; restored, by its place (G-05)',
      ),
    ],
  },
  {
    id: 'G-06',
    name: 'a revoked area and a new domain',
    traces: [scenario('mock-below-aperture')],
    tests: [
      unit(
        'iommufd-scenarios',
        'G-06: a revoked area owns its IOVA when a domain comes: in the way below the aperture, empty inside',
      ),
    ],
  },
  {
    id: 'G-07',
    name: 'an area that is too fine',
    traces: [scenario('mock-alignment-grows')],
    tests: [
      unit('iommufd-scenarios', 'G-07: an area that is too fine keeps a domain out, and the alignment what it was'),
    ],
  },
  {
    id: 'G-08',
    name: 'small pages',
    traces: [scenario('mock-small-pages')],
    tests: [
      unit('iommufd-scenarios', 'G-08: without large pages a buffer is mapped page by page, and revoked at once'),
    ],
  },
  {
    id: 'G-09',
    name: 'two buffers, one revoked',
    traces: [scenario('mock-two-buffers')],
    tests: [unit('iommufd-scenarios', 'G-09: UNMAP of everything unmaps what is not revoked, and counts both')],
  },
  {
    id: 'G-10',
    name: 'a container cuts no buffer',
    tests: [
      unit('vfio-compat', 'version 1: does not cut a dma-buf, says nothing of what it removed, and unmaps it whole'),
    ],
  },
  {
    id: 'G-11',
    name: 'no access to a buffer',
    tests: [
      unit('access-refusals', 'a pin of %s (I-85)'),
      unit('access-rw', 'is stopped by what it may not touch, after what lies before'),
    ],
  },
  {
    id: 'G-12',
    name: 'two mappings of one buffer',
    traces: [scenario('mock-two-mappings-of-one-buffer')],
    tests: [
      unit(
        'iommufd-scenarios',
        'G-12: two mappings of one buffer have an attachment each, of which a revoke takes the newer first',
      ),
    ],
  },
  {
    id: 'G-13',
    name: 'COPY asks for writing',
    traces: [scenario('mock-copy-needs-write')],
    tests: [unit('iommufd-scenarios', 'G-13: COPY does not write what was mapped without WRITEABLE')],
  },
  {
    id: 'G-14',
    name: 'a revoked area owns its IOVA',
    traces: [scenario('mock-revoked-area-owns-its-iova')],
    tests: [unit('iommufd-scenarios', 'G-14, G-15: a revoked area owns its IOVA, and below the aperture nobody maps')],
  },
  {
    id: 'G-15',
    name: 'below the aperture',
    tests: [unit('iommufd-scenarios', 'G-14, G-15: a revoked area owns its IOVA, and below the aperture nobody maps')],
  },
  {
    id: 'G-16',
    name: 'domains go after a revoke',
    traces: [scenario('mock-domains-go-after-revoke')],
    tests: [
      unit('iommufd-scenarios', 'G-16: after a revoke, DESTROY of a domain, detach and UNMAP succeed without a call'),
    ],
  },
  {
    id: 'G-17',
    name: 'a revoke is final',
    traces: [scenario('mock-revoke-is-final')],
    tests: [unit('iommufd-scenarios', 'G-17: a revoked area is never mapped again, whatever the exporter gives back')],
  },
  {
    id: 'G-18',
    name: 'two ranges',
    traces: [scenario('multi-range-rejected')],
    tests: [unit('iommufd-scenarios', 'G-18: a buffer in two ranges is EOPNOTSUPP, and nobody stays attached')],
  },
  {
    id: 'G-19',
    name: 'an exporter that is not accepted',
    tests: [unit('iommufd-exporter', 'is refused %s, before its place is looked at, and gives all back')],
  },
  {
    id: 'G-20',
    name: 'a buffer to be read only',
    tests: [unit('iommufd-mmio', 'the first domain of a buffer has MMIO and never CACHE, memory the reverse, on %s')],
  },
  {
    id: 'G-21',
    name: 'a second domain that cannot map',
    tests: [
      unit(
        'iommufd-scenarios',
        'G-21: a second domain that cannot map has the first unmapped again, and the IOVA is free',
      ),
    ],
  },
  {
    id: 'G-22',
    name: 'a new domain that cannot map its second area',
    tests: [
      unit(
        'iommufd-scenarios',
        'G-22: a new domain that cannot map its second area unmaps the first, and the old domain is not touched',
      ),
    ],
  },
  {
    id: 'G-23',
    name: 'a revoke between its two areas',
    tests: [['properties/document-races.test.ts', '$name ends in all the ways that are allowed, and in no other']],
    note: 'it is the race iommufd-R17, in every interleaving',
  },
  {
    id: 'G-24',
    name: 'UNMAP that ends within an area',
    traces: [scenario('mock-straddled-user-area')],
    tests: [
      unit(
        'iommufd-scenarios',
        'G-24: UNMAP that ends within an area keeps what it removed before, and answers ENOENT',
      ),
    ],
  },
];
