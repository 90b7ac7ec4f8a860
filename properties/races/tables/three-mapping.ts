/** Three threads, of which one revokes: maps, unmaps, domains. Source: iommufd 2.9 to 2.13, 3.5, 3.7, 4.5 */
import { end, type Race } from '../race.ts';
import {
  ATTACHED,
  attach,
  B,
  bufAt,
  copy,
  copyAt,
  destroy,
  detach,
  FOR_GOOD,
  hwpt,
  MAP,
  MAPPED,
  OFF,
  ON,
  RESET,
  START,
  UNMAPPED,
  unmap,
} from '../steps.ts';

const AREA = 'ioas 0x1000000 0x4000';
const SECOND = 'ioas 0x2000000 0x4000';
const COPIED = 'ioas 0x3000000 0x4000';
const UNMAPPED_HWPT = 'unmap hwpt 0x1000000 0x4000';
const UNMAPPED_LATE = 'unmap late 0x1000000 0x4000';
const UNMAPPED_COPY = 'unmap ioas 0x3000000 0x4000';

export const MAPPING_THREES: readonly Race[] = [
  {
    id: 'T1',
    actors: 'MAP_FILE ∥ COPY ∥ revoke',
    says: 'R1, R5: whatever becomes of the map, a copy shares its fate, and COPY of what is not there yet is ENOENT.',
    cases: [
      {
        from: 'COPY of what MAP_FILE maps; memory off',
        quick: 1,
        before: ATTACHED,
        actors: [MAP, copy(), OFF],
        ends: [
          end('ENODEV, ENOENT, ok', 'TEMP', { areas: [] }),
          end('ok, ENOENT, ok', 'TEMP', { areas: [AREA] }),
          end('ok, ok, ok', 'TEMP', { areas: [AREA, COPIED] }),
        ],
      },
      {
        from: 'COPY of what MAP_FILE maps; a reset, which revokes and gives back',
        quick: 1,
        before: ATTACHED,
        actors: [MAP, copy(), RESET],
        ends: [
          end('ENODEV, ENOENT, ok', 'OK'),
          end('ok, ENOENT, ok', 'OK'),
          end('ok, ENOENT, ok', 'OK', { reach: [bufAt('dev1')] }),
          end('ok, ok, ok', 'OK'),
          end('ok, ok, ok', 'OK', { reach: [bufAt('dev1'), copyAt('dev1')] }),
        ],
      },
      {
        from: 'COPY of what is mapped, MAP_FILE beside it; memory off',
        quick: 1,
        before: MAPPED,
        actors: [{ ...MAP, iova: B }, copy(), OFF],
        ends: [
          end('ENODEV, ok, ok', 'TEMP', { areas: [AREA, COPIED] }),
          end('ok, ok, ok', 'TEMP', { areas: [AREA, SECOND, COPIED] }),
        ],
      },
    ],
    remarks: ['One revoke cannot come between an area and its copy: they have the same pages (iommufd 1.3, 3.5).'],
  },
  {
    id: 'T2',
    actors: 'revoke ∥ revoke ∥ UNMAP',
    says: 'R2, R6: each (area, domain) is unmapped exactly once, by one of the three.',
    cases: [
      {
        from: 'one domain; memory off and a reset',
        quick: 1,
        before: MAPPED,
        actors: [OFF, RESET, unmap()],
        ends: [end('ok, ok, 0x4000 bytes', 'TEMP', { unmaps: [UNMAPPED] })],
      },
      {
        from: 'two domains; memory off and a reset',
        quick: 1,
        before: [...MAPPED, hwpt('hwpt')],
        actors: [OFF, RESET, unmap()],
        ends: [end('ok, ok, 0x4000 bytes', 'TEMP', { unmaps: [UNMAPPED_HWPT, UNMAPPED] })],
      },
      {
        from: 'one domain; memory off and a revoke for good',
        quick: 1,
        kernel: 'v4',
        before: MAPPED,
        actors: [OFF, FOR_GOOD, unmap()],
        ends: [end('ok, ok, 0x4000 bytes', 'PERM', { unmaps: [UNMAPPED] })],
      },
    ],
  },
  {
    id: 'T3',
    actors: 'attach ∥ MAP_FILE ∥ revoke',
    says: 'R1, R3, R12: the area is mapped in the new domain at most once, and not after the revoke.',
    cases: [
      {
        from: 'no domain; memory off',
        quick: 1,
        before: START,
        actors: [attach('dev1'), MAP, OFF],
        ends: [
          end('ok, ENODEV, ok', 'TEMP', { areas: [], calls: [] }),
          end('ok, ok, ok', 'TEMP', { areas: [AREA], calls: [] }),
          end('ok, ok, ok', 'TEMP', { areas: [AREA], calls: ['map ioas 0x1000000 0x4000', UNMAPPED] }),
        ],
      },
      {
        from: 'no domain; a reset, which revokes and gives back',
        quick: 1,
        preemptions: 3,
        before: START,
        actors: [attach('dev1'), MAP, RESET],
        ends: [
          end('ok, ENODEV, ok', 'OK', { calls: [] }),
          end('ok, ok, ok', 'OK', { calls: [] }),
          end('ok, ok, ok', 'OK', { calls: ['map ioas 0x1000000 0x4000', UNMAPPED] }),
          end('ok, ok, ok', 'OK', { reach: [bufAt('dev1')], calls: ['map ioas 0x1000000 0x4000'] }),
        ],
      },
    ],
  },
  {
    id: 'T4',
    actors: 'DESTROY of a HWPT ∥ HWPT_ALLOC ∥ revoke',
    says: 'R3, R4: what the new domain maps is unmapped once, and so is what the old one has.',
    cases: [
      {
        from: 'mapped in the domain of a device and in that of the HWPT',
        quick: 1,
        before: [...MAPPED, hwpt('hwpt')],
        actors: [destroy('hwpt'), hwpt('late'), OFF],
        ends: [
          end('ok, ok, ok', 'TEMP', { unmaps: [UNMAPPED_HWPT, UNMAPPED] }),
          end('ok, ok, ok', 'TEMP', { unmaps: [UNMAPPED_HWPT, UNMAPPED, UNMAPPED_LATE] }),
        ],
      },
    ],
  },
  {
    id: 'T5',
    actors: 'detach ∥ UNMAP ∥ revoke',
    says: 'R2, R4: exactly one unmap, by whoever is first; UNMAP answers the full length.',
    cases: [
      {
        from: 'the only device detaches',
        quick: 1,
        before: MAPPED,
        actors: [detach('dev1'), unmap(), OFF],
        ends: [end('ok, 0x4000 bytes, ok', 'TEMP', { unmaps: [UNMAPPED] })],
      },
    ],
  },
  {
    id: 'T6',
    actors: 'UNMAP ∥ UNMAP ∥ revoke',
    says: 'R2, R10: one success, the other EBUSY or ENOENT; one unmap.',
    cases: [
      {
        from: 'one domain',
        quick: 1,
        before: MAPPED,
        actors: [unmap(), unmap(), OFF],
        ends: [
          end('0x4000 bytes, EBUSY, ok', 'TEMP', { unmaps: [UNMAPPED] }),
          end('0x4000 bytes, ENOENT, ok', 'TEMP', { unmaps: [UNMAPPED] }),
          end('EBUSY, 0x4000 bytes, ok', 'TEMP', { unmaps: [UNMAPPED] }),
          end('ENOENT, 0x4000 bytes, ok', 'TEMP', { unmaps: [UNMAPPED] }),
        ],
      },
    ],
  },
  {
    id: 'T7',
    actors: 'COPY ∥ UNMAP of its source ∥ revoke',
    says: 'R2, R5, R15: the source is unmapped once; a copy is not mapped, or unmapped once.',
    cases: [
      {
        from: 'in one IOAS with a domain',
        quick: 1,
        before: MAPPED,
        actors: [copy(), unmap(), OFF],
        ends: [
          end('ENOENT, 0x4000 bytes, ok', 'TEMP', { areas: [], unmaps: [UNMAPPED] }),
          end('ok, 0x4000 bytes, ok', 'TEMP', { areas: [COPIED], unmaps: [UNMAPPED] }),
          end('ok, 0x4000 bytes, ok', 'TEMP', { areas: [COPIED], unmaps: [UNMAPPED, UNMAPPED_COPY] }),
        ],
      },
    ],
  },
  {
    id: 'T8',
    actors: 'MAP_FILE ∥ MAP_FILE of the same IOVA ∥ revoke',
    says: 'R1: one at most has the area; the other finds it taken, or the buffer revoked.',
    cases: [
      {
        from: 'one domain',
        quick: 1,
        preemptions: 3,
        before: ATTACHED,
        actors: [MAP, MAP, OFF],
        ends: [
          end('ok, EEXIST, ok', 'TEMP', { areas: [AREA] }),
          end('EEXIST, ok, ok', 'TEMP', { areas: [AREA] }),
          end('ok, ENODEV, ok', 'TEMP', { areas: [AREA] }),
          end('ENODEV, ok, ok', 'TEMP', { areas: [AREA] }),
          end('ENODEV, ENODEV, ok', 'TEMP', { areas: [] }),
        ],
      },
    ],
    remarks: ['An area in set-up counts as occupied (R13), so that the second map is EEXIST then, too.'],
  },
  {
    id: 'T9',
    actors: 'MAP_FILE ∥ memory off ∥ memory on',
    says: 'R1, R18: revoked or not by who of the two writes last; what was revoked stays empty.',
    cases: [
      {
        from: 'one domain',
        quick: 1,
        before: ATTACHED,
        actors: [MAP, OFF, ON],
        ends: [
          end('ENODEV, ok, ok', 'TEMP'),
          end('ok, ok, ok', 'TEMP'),
          end('ENODEV, ok, ok', 'OK'),
          end('ok, ok, ok', 'OK'),
          end('ok, ok, ok', 'OK', { reach: [bufAt('dev1')] }),
        ],
      },
    ],
  },
];
