/** Races of MAP and UNMAP. Source: iommufd 4.5, R9 to R13 */
import { end, mirrored, type Race } from '../race.ts';
import {
  A,
  ATTACHED,
  attach,
  bufAt,
  copy,
  copyAt,
  hwpt,
  MAP,
  MAPPED,
  MEMORY,
  mapMemory,
  OPENED,
  START,
  UNMAPPED,
  unmap,
} from '../steps.ts';

const AREA = 'ioas 0x1000000 0x4000';
/** Two pages of memory, each an area, from 0x1000 on: where the kernel looks first. */
const CROWDED = [...OPENED, attach('dev1'), MEMORY, mapMemory(0x1000n, 0x1000n), mapMemory(0x2000n, 0x1000n)];
/** The fourth page of `m`, wherever there is room. */
const MAP_ANYWHERE = mapMemory(undefined, 0x1000n, 0x3000n);
const fourthAt = (iova: string): string => `dev1 ${iova} → m+0x3000 0x1000`;

export const MAP_RACES: readonly Race[] = [
  {
    id: 'R9',
    actors: 'MAP ∥ UNMAP of the same IOVA',
    says: 'UNMAP: ENOENT (not inserted yet), EBUSY (in set-up), or success after MAP was done.',
    cases: [
      {
        from: 'MAP_FILE, one domain',
        before: ATTACHED,
        actors: [MAP, unmap()],
        ends: [
          end('ok, ENOENT', 'OK', { reach: [bufAt('dev1')] }),
          end('ok, EBUSY', 'OK', { reach: [bufAt('dev1')] }),
          end('ok, 0x4000 bytes', 'OK'),
        ],
      },
      {
        from: 'MAP_FILE, no domain',
        before: START,
        actors: [MAP, unmap()],
        ends: [
          end('ok, ENOENT', 'OK', { areas: [AREA] }),
          end('ok, EBUSY', 'OK', { areas: [AREA] }),
          end('ok, 0x4000 bytes', 'OK', { areas: [] }),
        ],
      },
      {
        from: 'MAP of memory, one domain',
        before: [...OPENED, attach('dev1'), MEMORY],
        actors: [mapMemory(A, 0x4000n), unmap()],
        ends: [
          end('ok, ENOENT', '', { reach: ['dev1 0x1000000 → m+0x0 0x4000'], pins: 4 }),
          end('ok, EBUSY', '', { reach: ['dev1 0x1000000 → m+0x0 0x4000'], pins: 4 }),
          end('ok, 0x4000 bytes', '', { pins: 0 }),
        ],
      },
    ],
  },
  {
    id: 'R10',
    actors: 'UNMAP ∥ UNMAP of the same area',
    says: 'One success; the other EBUSY (in tear-down) or ENOENT.',
    cases: [
      {
        from: 'one domain',
        before: MAPPED,
        actors: [unmap(), unmap()],
        ends: mirrored(
          end('0x4000 bytes, EBUSY', 'OK', { unmaps: [UNMAPPED] }),
          end('0x4000 bytes, ENOENT', 'OK', { unmaps: [UNMAPPED] }),
        ),
      },
      {
        from: 'no domain',
        before: [...START, MAP],
        actors: [unmap(), unmap()],
        ends: mirrored(
          end('0x4000 bytes, EBUSY', 'OK', { unmaps: [] }),
          end('0x4000 bytes, ENOENT', 'OK', { unmaps: [] }),
        ),
      },
    ],
  },
  {
    id: 'R11',
    actors: 'UNMAP of a range ∥ automatic MAP into what is freed already',
    says: 'The new area survives; UNMAP reports only what it removed.',
    cases: [
      {
        from: 'two areas, and the range ends with the second',
        before: CROWDED,
        actors: [unmap(0x1000n, 0x2000n), MAP_ANYWHERE],
        ends: [
          end('0x2000 bytes, ok at 0x1000', '', { reach: [fourthAt('0x1000')] }),
          end('0x2000 bytes, ok at 0x3000', '', { reach: [fourthAt('0x3000')] }),
        ],
      },
      {
        from: 'two areas, and the range is longer than both',
        before: CROWDED,
        actors: [unmap(0x1000n, 0x3000n), MAP_ANYWHERE],
        ends: [
          end('0x2000 bytes, ok at 0x1000', '', { reach: [fourthAt('0x1000')] }),
          end('0x3000 bytes, ok at 0x3000', ''),
          end('EBUSY, ok at 0x3000', '', { reach: [fourthAt('0x3000')] }),
        ],
      },
      {
        from: 'nothing else is allowed than what the two areas take',
        before: [...CROWDED, { do: 'ioas_allow_iovas', ioas: 'ioas', ranges: [[0x1000n, 0x2fffn]] }],
        actors: [unmap(0x1000n, 0x2000n), MAP_ANYWHERE],
        ends: [end('0x2000 bytes, ok at 0x1000', '', { reach: [fourthAt('0x1000')] }), end('0x2000 bytes, ENOSPC', '')],
      },
    ],
    remarks: [
      'An area that is placed behind, where UNMAP has yet to come, is not what the row is about: by 2.13 it goes.',
    ],
  },
  {
    id: 'R12',
    actors: 'MAP ∥ domain add',
    says: 'The area is mapped in the new domain exactly once, whichever the order.',
    cases: [
      {
        from: 'MAP_FILE and HWPT_ALLOC, one domain before',
        before: ATTACHED,
        actors: [MAP, hwpt('late')],
        ends: [
          end('ok, ok', 'OK', {
            reach: [bufAt('dev1'), bufAt('late')],
            calls: ['map ioas 0x1000000 0x4000', 'map late 0x1000000 0x4000'],
          }),
        ],
      },
      {
        from: 'MAP_FILE and attach, no domain before',
        before: START,
        actors: [MAP, attach('dev1')],
        ends: [end('ok, ok', 'OK', { reach: [bufAt('dev1')], calls: ['map ioas 0x1000000 0x4000'] })],
      },
      {
        from: 'COPY and HWPT_ALLOC',
        before: MAPPED,
        actors: [copy(), hwpt('late')],
        ends: [
          end('ok, ok', 'OK', {
            reach: [bufAt('dev1'), copyAt('dev1'), bufAt('late'), copyAt('late')],
            calls: ['map ioas 0x3000000 0x4000', 'map late 0x1000000 0x4000', 'map late 0x3000000 0x4000'],
          }),
        ],
      },
    ],
  },
  {
    id: 'R13',
    actors: 'MAP (area in set-up) ∥ reservation by a device, ALLOW_IOVAS, growth of the alignment',
    says: 'An area in set-up counts as occupied: EADDRINUSE for the attach.',
    cases: [
      {
        from: 'the area lies where the device reserves',
        before: START,
        actors: [{ ...MAP, iova: 0xfee0_0000n }, attach('dev1')],
        ends: [
          end('ok, EADDRINUSE', 'OK', { areas: ['ioas 0xfee00000 0x4000'] }),
          end('EINVAL, ok', 'OK', { areas: [] }),
        ],
      },
      {
        from: 'the area lies beyond the aperture of the new domain',
        before: START,
        actors: [{ ...MAP, iova: 0x1_0000_0000_0000n }, hwpt('late')],
        ends: [
          end('ok, EADDRINUSE', 'OK', { areas: ['ioas 0x1000000000000 0x4000'] }),
          end('EINVAL, ok', 'OK', { areas: [] }),
        ],
      },
      {
        from: 'the area is of half a page, the new domain is of whole ones',
        before: START,
        actors: [{ ...MAP, iova: A + 0x800n, start: 0x800n, length: 0x800n }, attach('dev1')],
        ends: [
          end('ok, EADDRINUSE', 'OK', { areas: ['ioas 0x1000800 0x800'] }),
          end('EINVAL, ok', 'OK', { areas: [] }),
        ],
      },
      {
        from: 'the area is of half a page, and HUGE_PAGES=0 wants whole ones',
        before: START,
        actors: [
          { ...MAP, iova: A + 0x800n, start: 0x800n, length: 0x800n },
          { do: 'ioas_option_huge_pages', ioas: 'ioas', enable: false },
        ],
        ends: [
          end('ok, EADDRINUSE', 'OK', { areas: ['ioas 0x1000800 0x800'] }),
          end('EINVAL, ok', 'OK', { areas: [] }),
        ],
      },
      {
        from: 'ALLOW_IOVAS, and the kernel chooses',
        before: START,
        actors: [
          // Without an IOVA.
          { do: 'ioas_map_file', ioas: 'ioas', fd: 'buf', start: 0n, length: 0x4000n, prot: 'rw' },
          { do: 'ioas_allow_iovas', ioas: 'ioas', ranges: [[0x800_0000n, 0x8ff_ffffn]] },
        ],
        ends: [
          end('ok at 0x4000, ok', 'OK', { areas: ['ioas 0x4000 0x4000'] }),
          end('ok at 0x8000000, ok', 'OK', { areas: ['ioas 0x8000000 0x4000'] }),
        ],
      },
    ],
    remarks: ['ALLOW_IOVAS takes no notice of areas (2.4), so that its case is of where the new area goes.'],
  },
];
