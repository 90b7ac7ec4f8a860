/** Races of those who use an IOAS. Source: iommufd 4.5, R14 to R16 */
import { end, mirrored, type Race } from '../race.ts';
import {
  A,
  attach,
  copy,
  copyAt,
  destroy,
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
/** Four pages of `m` at A, and a driver that pins them and lets go when it is asked to. */
const PINNABLE = [...OPENED, MEMORY, mapMemory(A, 0x4000n), { do: 'access', ioas: 'ioas', as: 'access' }] as const;
const PIN = { do: 'access_pin', access: 'access', iova: A, length: 0x2000n } as const;

export const USER_RACES: readonly Race[] = [
  {
    id: 'R14',
    actors: 'UNMAP ∥ pin',
    says: 'The pin fails with EINVAL once preventAccess is set, or succeeds and is called back.',
    cases: [
      {
        from: 'nothing is pinned before',
        before: PINNABLE,
        actors: [unmap(), PIN],
        ends: [end('0x4000 bytes, ok', '', { pins: 0 }), end('0x4000 bytes, ENOENT', '', { pins: 0 })],
        unreached: [
          {
            answers: '0x4000 bytes, EINVAL',
            why: 'by 2.13 preventAccess is set only where something is pinned before',
          },
        ],
      },
      {
        from: 'a page is pinned before',
        before: [...PINNABLE, PIN],
        actors: [unmap(), PIN],
        ends: [
          end('0x4000 bytes, ok', '', { pins: 0 }),
          end('0x4000 bytes, EINVAL', '', { pins: 0 }),
          end('0x4000 bytes, ENOENT', '', { pins: 0 }),
        ],
      },
    ],
    remarks: [
      'ENOENT, when the pin comes after UNMAP or while the area goes: the row does not say it, 2.7 and 2.16 do.',
    ],
  },
  {
    id: 'R15',
    actors: 'COPY ∥ UNMAP of its source',
    says: 'COPY gets its references first, and works though the source goes; or ENOENT.',
    cases: [
      {
        from: 'in one IOAS with a domain',
        before: MAPPED,
        actors: [copy(), unmap()],
        ends: [
          end('ok, 0x4000 bytes', 'OK', { reach: [copyAt('dev1')], unmaps: [UNMAPPED] }),
          end('ENOENT, 0x4000 bytes', 'OK', { unmaps: [UNMAPPED] }),
        ],
      },
      {
        from: 'into another IOAS with a domain',
        before: [...START, { do: 'ioas_alloc', ctx: 'ctx', as: 'second' }, attach('dev1', 'second'), MAP],
        actors: [copy(0x4000n, 'second'), unmap()],
        ends: [
          end('ok, 0x4000 bytes', 'OK', { reach: [copyAt('dev1')], unmaps: [] }),
          end('ENOENT, 0x4000 bytes', 'OK', { unmaps: [] }),
        ],
      },
    ],
  },
  {
    id: 'R16',
    actors: 'DESTROY of an IOAS ∥ any ioctl that uses it',
    says: 'DESTROY is EBUSY, or the other gets ENOENT.',
    cases: [
      {
        from: 'MAP_FILE',
        before: START,
        actors: [destroy('ioas'), MAP],
        ends: [
          end('EBUSY, ok', 'OK', { areas: [AREA] }),
          end('ok, ENOENT', 'OK', { areas: [] }),
          end('ok, ok', 'OK', { areas: [] }),
        ],
      },
      {
        from: 'UNMAP',
        before: [...START, MAP],
        actors: [destroy('ioas'), unmap()],
        ends: [end('EBUSY, 0x4000 bytes', 'OK'), end('ok, ENOENT', 'OK'), end('ok, 0x4000 bytes', 'OK')],
      },
      {
        from: 'IOVA_RANGES',
        before: START,
        actors: [destroy('ioas'), { do: 'ioas_iova_ranges', ioas: 'ioas' }],
        ends: [end('EBUSY, ok', 'OK'), end('ok, ENOENT', 'OK'), end('ok, ok', 'OK')],
      },
      {
        from: 'HWPT_ALLOC',
        before: START,
        actors: [destroy('ioas'), hwpt('late')],
        ends: [end('EBUSY, ok', 'OK'), end('ok, EINVAL', 'OK')],
      },
      {
        from: 'attach',
        before: START,
        actors: [destroy('ioas'), attach('dev1')],
        ends: [end('EBUSY, ok', 'OK'), end('ok, ENOENT', 'OK')],
      },
      {
        from: 'a second DESTROY',
        before: START,
        actors: [destroy('ioas'), destroy('ioas')],
        ends: mirrored(end('ok, ENOENT', 'OK')),
      },
    ],
    remarks: [
      'Both succeed when the other was done before; what HWPT_ALLOC and attach made keeps the IOAS in use after that.',
      'HWPT_ALLOC answers EINVAL for an IOAS that is gone (2.11).',
      'DESTROY takes no reference itself (2.2), so two of them never meet as EBUSY.',
    ],
  },
];
