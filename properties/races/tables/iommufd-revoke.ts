/** Races of the importing side with a revoke. Source: iommufd 4.5, R1 to R5 */
import { end, type Race } from '../race.ts';
import {
  A,
  ATTACHED,
  attach,
  B,
  close,
  copy,
  destroy,
  detach,
  FOR_GOOD,
  hwpt,
  MAP,
  MAPPED,
  MEMORY,
  MOCK_START,
  mapMemory,
  memoryAt,
  mockRevoke,
  OFF,
  ON,
  RESET,
  START,
  UNMAPPED,
  unmap,
} from '../steps.ts';

const UNMAPPED_HWPT = 'unmap hwpt 0x1000000 0x4000';

export const REVOKE_RACES: readonly Race[] = [
  {
    id: 'R1',
    actors: 'MAP_FILE of a buffer ∥ revoke',
    says: 'ENODEV, or success with the area unmapped at the end; never mapped after the revoke returned.',
    cases: [
      {
        from: 'one domain',
        before: ATTACHED,
        actors: [MAP, OFF],
        ends: [end('ENODEV, ok', 'TEMP'), end('ok, ok', 'TEMP')],
      },
      {
        from: 'no domain',
        before: START,
        actors: [MAP, OFF],
        ends: [end('ENODEV, ok', 'TEMP'), end('ok, ok', 'TEMP')],
      },
      {
        from: 'two domains',
        before: [...ATTACHED, hwpt('hwpt')],
        actors: [MAP, OFF],
        ends: [end('ENODEV, ok', 'TEMP'), end('ok, ok', 'TEMP')],
      },
      {
        from: 'one domain; the device closes',
        before: ATTACHED,
        actors: [MAP, close('dev0')],
        ends: [end('ENODEV, ok', ''), end('ok, ok', '')],
      },
      {
        from: 'one domain; a revoke for good',
        kernel: 'v4',
        before: ATTACHED,
        actors: [MAP, FOR_GOOD],
        ends: [end('ENODEV, ok', 'PERM'), end('ok, ok', 'PERM')],
      },
      {
        from: 'the exporter of the selftests',
        machine: 'mock',
        before: MOCK_START,
        actors: [MAP, mockRevoke(true)],
        ends: [
          end('ENODEV, ok', '', { unmaps: [] }),
          end('ok, ok', '', { unmaps: [] }),
          end('ok, ok', '', { unmaps: [UNMAPPED] }),
        ],
      },
    ],
  },
  {
    id: 'R2',
    actors: 'UNMAP ∥ revoke',
    says: 'Each (area, domain) is unmapped exactly once; UNMAP succeeds with the full length.',
    cases: [
      {
        from: 'one domain',
        before: MAPPED,
        actors: [unmap(), OFF],
        ends: [end('0x4000 bytes, ok', 'TEMP', { unmaps: [UNMAPPED] })],
      },
      {
        from: 'two domains',
        before: [...MAPPED, hwpt('hwpt')],
        actors: [unmap(), OFF],
        ends: [end('0x4000 bytes, ok', 'TEMP', { unmaps: [UNMAPPED_HWPT, UNMAPPED] })],
      },
      {
        from: 'no domain',
        before: [...START, MAP],
        actors: [unmap(), OFF],
        ends: [end('0x4000 bytes, ok', 'TEMP', { unmaps: [] })],
      },
      {
        from: 'one domain; a reset, which revokes and gives back',
        before: MAPPED,
        actors: [unmap(), RESET],
        ends: [end('0x4000 bytes, ok', 'OK', { unmaps: [UNMAPPED] })],
      },
    ],
  },
  {
    id: 'R3',
    actors: 'domain add ∥ revoke',
    says: 'The add succeeds; the new domain maps nothing of what is revoked at the end, and all other areas.',
    cases: [
      {
        from: 'HWPT_ALLOC; one domain, an area of memory beside',
        before: [...MAPPED, MEMORY, mapMemory(B)],
        actors: [hwpt('late'), OFF],
        ends: [end('ok, ok', 'TEMP', { reach: [memoryAt('dev1'), memoryAt('late')] })],
      },
      {
        from: 'attach; no domain, an area of memory beside',
        before: [...START, MAP, MEMORY, mapMemory(B)],
        actors: [attach('dev1'), OFF],
        ends: [end('ok, ok', 'TEMP', { reach: [memoryAt('dev1')] })],
      },
      {
        from: 'HWPT_ALLOC; the area was revoked before, and the buffer given back',
        before: [...MAPPED, OFF, ON],
        actors: [hwpt('late'), OFF],
        ends: [end('ok, ok', 'TEMP')],
      },
    ],
    remarks: ['An add that fails for reasons of its own is R17.'],
  },
  {
    id: 'R4',
    actors: 'domain remove ∥ revoke',
    says: 'Exactly one unmap for each (area, domain).',
    cases: [
      {
        from: 'DESTROY of the second domain',
        before: [...MAPPED, hwpt('hwpt')],
        actors: [destroy('hwpt'), OFF],
        ends: [end('ok, ok', 'TEMP', { unmaps: [UNMAPPED_HWPT, UNMAPPED] })],
      },
      {
        from: 'detach of the only device',
        before: MAPPED,
        actors: [detach('dev1'), OFF],
        ends: [end('ok, ok', 'TEMP', { unmaps: [UNMAPPED] })],
      },
    ],
  },
  {
    id: 'R5',
    actors: 'COPY ∥ revoke',
    says: 'COPY succeeds, and all copies are unmapped at the end.',
    cases: [
      {
        from: 'in one IOAS with a domain',
        before: MAPPED,
        actors: [copy(), OFF],
        ends: [end('ok, ok', 'TEMP', { areas: ['ioas 0x1000000 0x4000', 'ioas 0x3000000 0x4000'] })],
      },
      {
        from: 'into another IOAS with a domain',
        before: [...MAPPED, { do: 'ioas_alloc', ctx: 'ctx', as: 'second' }, attach('dev0', 'second')],
        actors: [copy(0x4000n, 'second'), OFF],
        ends: [end('ok, ok', 'TEMP', { areas: ['ioas 0x1000000 0x4000', 'second 0x3000000 0x4000'] })],
      },
      {
        from: 'of the buffer and of memory beside it',
        before: [...MAPPED, MEMORY, mapMemory(A + 0x4000n)],
        actors: [copy(0x6000n), OFF],
        ends: [end('ok, ok', 'TEMP', { reach: ['dev1 0x1004000 → m+0x0 0x2000', 'dev1 0x3004000 → m+0x0 0x2000'] })],
      },
    ],
  },
];
