/** Races of a revoke with another, and with what fails. Source: iommufd 4.5, R6 to R8, R17, R18 */
import { end, type Race } from '../race.ts';
import {
  A,
  ATTACHED,
  attach,
  bufAt,
  closeFd,
  exportAs,
  hwpt,
  MAP,
  MAP_OTHER,
  MAPPED,
  MEMORY,
  MOCK_START,
  mapMemory,
  mockRevoke,
  OFF,
  ON,
  otherAt,
  RESET,
  START,
  UNMAPPED,
  unmap,
} from '../steps.ts';

const UNMAPPED_LATE = 'unmap late 0x1000000 0x4000';

export const UNWIND_RACES: readonly Race[] = [
  {
    id: 'R6',
    actors: 'revoke ∥ revoke or the callback of an un-revoke',
    says: 'The second is a no-op.',
    cases: [
      {
        from: 'memory off twice',
        before: MAPPED,
        actors: [OFF, OFF],
        ends: [end('ok, ok', 'TEMP', { unmaps: [UNMAPPED] })],
      },
      {
        from: 'memory off and a reset',
        before: MAPPED,
        actors: [OFF, RESET],
        ends: [end('ok, ok', 'TEMP', { unmaps: [UNMAPPED] })],
      },
      {
        from: 'two resets',
        before: MAPPED,
        actors: [RESET, RESET],
        ends: [end('ok, ok', 'OK', { unmaps: [UNMAPPED] })],
      },
      {
        from: 'the exporter of the selftests, which calls back for an un-revoke, too',
        machine: 'mock',
        before: [...MOCK_START, MAP],
        actors: [mockRevoke(true), mockRevoke(false)],
        ends: [end('ok, ok', '', { unmaps: [UNMAPPED] })],
      },
    ],
  },
  {
    id: 'R7',
    actors: 'the last UNMAP, which releases the pages ∥ revoke',
    says: 'The callback sees live pages, or is never called; never after the detach.',
    cases: [
      {
        from: 'nobody else holds the buffer',
        before: [...MAPPED, closeFd('buf')],
        actors: [unmap(), OFF],
        ends: [end('0x4000 bytes, ok', '', { unmaps: [UNMAPPED] })],
      },
      {
        from: 'the area was revoked before, and nobody else holds the buffer',
        before: [...MAPPED, OFF, ON, closeFd('buf')],
        actors: [unmap(), OFF],
        ends: [end('0x4000 bytes, ok', '', { unmaps: [] })],
      },
    ],
    remarks: ['With the descriptor open it is R2.'],
  },
  {
    id: 'R8',
    actors: 'MAP_FILE that fails and detaches ∥ revoke',
    says: 'The callback is a no-op, or absent.',
    cases: [
      {
        from: 'the IOVA is taken',
        before: [...ATTACHED, MEMORY, mapMemory(A)],
        actors: [MAP, OFF],
        ends: [
          end('EEXIST, ok', 'TEMP', { reach: ['dev1 0x1000000 → m+0x0 0x2000'], unmaps: [] }),
          end('ENODEV, ok', 'TEMP', { reach: ['dev1 0x1000000 → m+0x0 0x2000'], unmaps: [] }),
        ],
      },
      {
        from: 'no memory for the entry that tracks the area',
        before: ATTACHED,
        actors: [MAP, OFF],
        fails: { site: 'iopt_dmabuf_track_domain', nth: 1 },
        ends: [end('ENOMEM, ok', 'TEMP', { unmaps: [] }), end('ENODEV, ok', 'TEMP', { unmaps: [] })],
      },
      {
        from: 'a buffer of two ranges, which the interconnect refuses',
        before: [
          ...ATTACHED,
          {
            do: 'vfio_export',
            dev: 'dev0',
            region: 2,
            ranges: [
              [0n, 0x4000n],
              [0x8000n, 0x4000n],
            ],
            as: 'two',
          },
        ],
        actors: [{ ...MAP, fd: 'two' }, OFF],
        ends: [end('EOPNOTSUPP, ok', 'TEMP TEMP', { unmaps: [] }), end('ENODEV, ok', 'TEMP TEMP', { unmaps: [] })],
      },
    ],
  },
  {
    id: 'R17',
    actors: 'domain add that fails midway ∥ revoke of an earlier area',
    says: 'The earlier area is unmapped once, by the revoke or by the unwind.',
    cases: [
      {
        from: 'HWPT_ALLOC has no memory for its second area',
        before: [...MAPPED, exportAs('other', 'dev1'), MAP_OTHER],
        actors: [hwpt('late'), OFF],
        fails: { site: 'iopt_dmabuf_track_domain', nth: 2 },
        ends: [
          end('ENOMEM, ok', 'TEMP OK', { reach: [otherAt('dev1')], unmaps: [UNMAPPED] }),
          end('ENOMEM, ok', 'TEMP OK', { reach: [otherAt('dev1')], unmaps: [UNMAPPED, UNMAPPED_LATE] }),
        ],
      },
      {
        from: 'attach has no memory for its second area',
        before: [...START, MAP, exportAs('other', 'dev1'), MAP_OTHER],
        actors: [attach('dev1'), OFF],
        fails: { site: 'iopt_dmabuf_track_domain', nth: 2 },
        ends: [end('ENOMEM, ok', 'TEMP OK', { unmaps: [] }), end('ENOMEM, ok', 'TEMP OK', { unmaps: [UNMAPPED] })],
      },
    ],
  },
  {
    id: 'R18',
    actors: 'revoke and un-revoke ∥ MAP_FILE between its attach and its interconnect',
    says: 'Success, and mapped: the attachment saw a callback that did nothing.',
    cases: [
      {
        from: 'a reset',
        before: ATTACHED,
        actors: [MAP, RESET],
        ends: [end('ok, ok', 'OK', { reach: [bufAt('dev1')] }), end('ok, ok', 'OK'), end('ENODEV, ok', 'OK')],
      },
    ],
    remarks: [
      'The row tells of one place for the reset; a race has all of them, so that the ends of R1 are there besides.',
    ],
  },
];
