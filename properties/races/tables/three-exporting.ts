/**
 * Three threads around a buffer: descriptors and devices that close, importers, the CPU, and resets of several devices.
 * Source: vfio-dmabuf 1.3, 1.4, 1.6, 2.6 to 2.10, 7.3, 7.4
 */
import { end, type Race } from '../race.ts';
import {
  attach,
  BYTE,
  bufAt,
  close,
  closeFd,
  exportAs,
  FOR_GOOD,
  FORK,
  hotReset,
  importer,
  importerMap,
  importerUnmap,
  MAP,
  MAPPED,
  mapBar,
  mapBuf,
  OFF,
  OPENED,
  RESET,
  START,
  touch,
  UNMAPPED,
  unmap,
} from '../steps.ts';

export const EXPORTING_THREES: readonly Race[] = [
  {
    id: 'T10',
    actors: 'close of the last descriptor of the buffer ∥ UNMAP ∥ revoke',
    says: 'R2, R7: one unmap; the buffer is released once, by whoever lets go of it last.',
    cases: [
      {
        from: 'one area holds the buffer besides',
        before: MAPPED,
        actors: [closeFd('buf'), unmap(), OFF],
        ends: [end('ok, 0x4000 bytes, ok', '', { registrations: 2, unmaps: [UNMAPPED] })],
      },
    ],
  },
  {
    id: 'T11',
    actors: 'close of the last descriptor of the buffer ∥ memory off ∥ close of the device',
    says: 'R7: exactly one put of the registration; the write comes first, or finds the device closed.',
    cases: [
      {
        from: 'nobody else holds the buffer',
        before: START,
        actors: [closeFd('buf'), OFF, close('dev0')],
        ends: [end('ok, ok, ok', '', { registrations: 1 }), end('ok, EBADF, ok', '', { registrations: 1 })],
      },
    ],
  },
  {
    id: 'T12',
    actors: 'export ∥ memory off ∥ close of the device',
    says: 'R1: listed and revoked, or born revoked, or there is no device any more; nothing stays listed.',
    cases: [
      {
        from: 'nothing is exported',
        before: OPENED,
        actors: [exportAs('buf'), OFF, close('dev0')],
        ends: [
          end('ok, ok, ok', '', { registrations: 1 }),
          end('ok, EBADF, ok', '', { registrations: 1 }),
          end('EBADF, ok, ok', '', { registrations: 1 }),
          end('EBADF, EBADF, ok', '', { registrations: 1 }),
        ],
      },
    ],
  },
  {
    id: 'T13',
    actors: 'touch ∥ fork ∥ revoke',
    says: 'R8, R9, R25: data before, SIGBUS after; no entry survives, in the parent or in the child.',
    cases: [
      {
        from: 'a BAR, which the parent has touched; memory off',
        quick: 1,
        before: [...START, mapBar('v'), touch('v')],
        actors: [touch('v'), FORK, OFF],
        ends: [end(`${BYTE}, ok, ok`, 'TEMP'), end('SIGBUS, ok, ok', 'TEMP')],
      },
      {
        from: 'a buffer, which nobody has touched; memory off',
        quick: 1,
        kernel: 'v4',
        before: [...START, mapBuf('w')],
        actors: [touch('w'), FORK, OFF],
        ends: [end(`${BYTE}, ok, ok`, 'TEMP'), end('SIGBUS, ok, ok', 'TEMP')],
      },
      {
        from: 'a buffer, which the parent has touched; the device closes',
        quick: 1,
        kernel: 'v4',
        before: [...START, mapBuf('w'), touch('w')],
        actors: [touch('w'), FORK, close('dev0')],
        ends: [end(`${BYTE}, ok, ok`, ''), end('SIGBUS, ok, ok', '')],
      },
    ],
  },
  {
    id: 'T14',
    actors: 'hot reset ∥ close of a member ∥ MAP_FILE',
    says:
      'R16, R18: EINVAL and undone when the member has been closed before; either way the buffer of the first member ' +
      'was revoked and given back.',
    cases: [
      {
        from: 'a member of another group closes; the exporter reaches its own buffer',
        quick: 1,
        machine: 'one bus',
        before: [...START, attach('dev0')],
        actors: [hotReset('dev0'), close('dev1'), MAP],
        ends: [
          end('ok, ok, ENODEV', 'OK'),
          end('ok, ok, ok', 'OK'),
          end('ok, ok, ok', 'OK', { reach: [bufAt('dev0')] }),
          end('EINVAL, ok, ENODEV', 'OK'),
          end('EINVAL, ok, ok', 'OK'),
          end('EINVAL, ok, ok', 'OK', { reach: [bufAt('dev0')] }),
        ],
      },
    ],
  },
  {
    id: 'T15',
    actors: 'revoke for good ∥ reset ∥ touch',
    says: 'R9, R10, R12: revoked for good in every order; data before, SIGBUS after, and no entry survives.',
    cases: [
      {
        from: 'mapped and touched',
        quick: 1,
        kernel: 'v4',
        before: [...START, mapBuf('w'), touch('w')],
        actors: [FOR_GOOD, RESET, touch('w')],
        ends: [end(`ok, ok, ${BYTE}`, 'PERM'), end('ok, ok, SIGBUS', 'PERM')],
      },
    ],
  },
  {
    id: 'T16',
    actors: 'map of an importer ∥ unmap of another ∥ revoke',
    says: 'R3, R5: the revoke waits for every map that there is; one that comes after is ENODEV.',
    cases: [
      {
        from: 'one that unmaps as soon as it is told maps, one that has mapped unmaps',
        quick: 1,
        before: [...START, ...importer('i', 'prompt'), ...importer('j', 'never'), importerMap('j')],
        actors: [importerMap('i'), importerUnmap('j'), OFF],
        ends: [end('ok, ok, ok', 'TEMP', { maps: 0 }), end('ENODEV, ok, ok', 'TEMP', { maps: 0 })],
      },
    ],
  },
  {
    id: 'T17',
    actors: 'signal of a fence ∥ unmap ∥ revoke',
    says: 'R5, R6: the revoke returns after both.',
    cases: [
      {
        from: 'an importer that never unmaps by itself, with work in flight',
        before: [
          ...START,
          ...importer('i', 'never'),
          importerMap('i'),
          { do: 'importer_submit', importer: 'i', usage: 'WRITE', fence: 'fence' },
        ],
        actors: [{ do: 'fence_signal', fence: 'fence' }, importerUnmap('i'), OFF],
        ends: [end('ok, ok, ok', 'TEMP', { callbacks: ['i'], maps: 0 })],
      },
    ],
  },
];
