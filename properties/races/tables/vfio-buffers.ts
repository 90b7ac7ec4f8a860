/** Races of buffers and their descriptors. Source: vfio-dmabuf 7.3, R1, R7, R17 to R19, R22 */
import { end, type Race } from '../race.ts';
import {
  ATTACHED,
  close,
  closeFd,
  DUP,
  exportAs,
  FOR_GOOD,
  MAP,
  MAPPED,
  OFF,
  ON,
  OPENED,
  START,
  UNMAPPED,
  unmap,
} from '../steps.ts';

const MAPPED_IN = 'map ioas 0x1000000 0x4000';

export const BUFFER_RACES: readonly Race[] = [
  {
    id: 'R1',
    actors: 'export ∥ memory off',
    says: 'Exported first, it is revoked by the write; written first, it is born revoked.',
    cases: [
      {
        from: 'nothing exported yet',
        before: OPENED,
        actors: [exportAs('more'), OFF],
        ends: [end('ok, ok', 'TEMP')],
      },
      { from: 'another buffer', before: START, actors: [exportAs('more'), OFF], ends: [end('ok, ok', 'TEMP TEMP')] },
      {
        from: 'another buffer, v4',
        kernel: 'v4',
        before: START,
        actors: [exportAs('more'), OFF],
        ends: [end('ok, ok', 'TEMP TEMP')],
      },
      {
        from: 'memory off before, and on again in the race',
        before: [...START, OFF],
        actors: [exportAs('more'), ON],
        ends: [end('ok, ok', 'OK OK')],
      },
    ],
  },
  {
    id: 'R7',
    actors: 'last close of a buffer ∥ clean-up of the device',
    says: 'The release handles it and the clean-up skips it, or the clean-up comes first; one registration is put.',
    cases: [
      {
        from: 'one descriptor',
        before: START,
        actors: [closeFd('buf'), close('dev0')],
        ends: [end('ok, ok', '', { registrations: 1 })],
      },
      {
        from: 'an area holds the buffer, and goes',
        before: [...MAPPED, closeFd('buf')],
        actors: [unmap(), close('dev0')],
        ends: [end('0x4000 bytes, ok', '', { registrations: 1, unmaps: [UNMAPPED] })],
      },
    ],
  },
  {
    id: 'R17',
    actors: 'export that ends in EMFILE ∥ memory off',
    says: 'The error; the list is as before.',
    cases: [
      {
        from: 'another buffer',
        before: START,
        actors: [exportAs('more'), OFF],
        fails: { site: 'get_unused_fd', nth: 1 },
        ends: [end('EMFILE, ok', 'TEMP', { registrations: 3 })],
      },
      {
        from: 'another buffer; the device closes',
        before: START,
        actors: [exportAs('more'), close('dev0')],
        fails: { site: 'get_unused_fd', nth: 1 },
        ends: [end('EMFILE, ok', '', { registrations: 1 }), end('EBADF, ok', '', { registrations: 1 })],
      },
    ],
    remarks: ['The device that closes is our own starting state; the export then finds it open, or EBADF.'],
  },
  {
    id: 'R18',
    actors: 'MAP_FILE ∥ revoke',
    says: 'Live, then removed; success with an empty area; or ENODEV.',
    cases: [
      {
        from: 'one domain',
        before: ATTACHED,
        actors: [MAP, OFF],
        ends: [
          end('ok, ok', 'TEMP', { calls: [MAPPED_IN, UNMAPPED] }),
          end('ok, ok', 'TEMP', { calls: [] }),
          end('ENODEV, ok', 'TEMP', { calls: [] }),
        ],
      },
    ],
  },
  {
    id: 'R19',
    actors: 'UNMAP ∥ revoke',
    says: 'Both succeed, and the range is unmapped once.',
    cases: [
      {
        from: 'one domain; memory off',
        before: MAPPED,
        actors: [unmap(), OFF],
        ends: [end('0x4000 bytes, ok', 'TEMP', { calls: [UNMAPPED] })],
      },
      {
        from: 'one domain; the device closes',
        before: MAPPED,
        actors: [unmap(), close('dev0')],
        ends: [end('0x4000 bytes, ok', '', { calls: [UNMAPPED] })],
      },
    ],
  },
  {
    id: 'R22',
    actors: 'dup, or close of a dup ∥ revoke',
    says: 'The dup does not matter.',
    cases: [
      {
        from: 'a dup is made',
        before: MAPPED,
        actors: [DUP, OFF],
        ends: [end('ok, ok', 'TEMP', { unmaps: [UNMAPPED] })],
      },
      {
        from: 'a dup is closed',
        before: [...MAPPED, DUP],
        actors: [closeFd('dup'), OFF],
        ends: [end('ok, ok', 'TEMP', { unmaps: [UNMAPPED] })],
      },
      {
        from: 'the first descriptor is closed, a dup stays',
        before: [...MAPPED, DUP],
        actors: [closeFd('buf'), OFF],
        ends: [end('ok, ok', 'TEMP', { unmaps: [UNMAPPED] })],
      },
      {
        from: 'a dup is closed; a revoke for good by the other',
        kernel: 'v4',
        before: [...MAPPED, DUP],
        actors: [closeFd('dup'), FOR_GOOD],
        ends: [end('ok, ok', 'PERM', { unmaps: [UNMAPPED] })],
      },
    ],
  },
];
