/** Races of the CPU and of permanent revokes. Source: vfio-dmabuf 7.3, R8 to R13, R21, R25 */
import { end, mirrored, type Race } from '../race.ts';
import {
  BYTE,
  close,
  closeFd,
  FLR,
  FOR_GOOD,
  FORK,
  importer,
  MAPPED,
  mapBar,
  mapBuf,
  OFF,
  RESET,
  START,
  touch,
  UNMAPPED,
} from '../steps.ts';

const entry = (map: string, process = 'process'): string => `${process} ${map} → ${BYTE}`;
const BLOCKED_UNTIL_DONE = 'by 7.4 a fault waits for memory_lock, and M(d) holds again when a reset drops it';

export const CPU_RACES: readonly Race[] = [
  {
    id: 'R8',
    actors: 'touch of a BAR ∥ memory off, reset',
    says: 'Data, or SIGBUS, or blocked until it is done; an entry from before is zapped.',
    cases: [
      {
        from: 'mapped; memory off',
        before: [...START, mapBar('v')],
        actors: [touch('v'), OFF],
        ends: [end(`${BYTE}, ok`, 'TEMP'), end('SIGBUS, ok', 'TEMP')],
      },
      {
        from: 'mapped and touched; memory off',
        before: [...START, mapBar('v'), touch('v')],
        actors: [touch('v'), OFF],
        ends: [end(`${BYTE}, ok`, 'TEMP'), end('SIGBUS, ok', 'TEMP')],
      },
      {
        from: 'mapped; D3hot',
        before: [...START, mapBar('v')],
        actors: [touch('v'), { do: 'vfio_power', dev: 'dev0', state: 3 }],
        ends: [end(`${BYTE}, ok`, 'TEMP'), end('SIGBUS, ok', 'TEMP')],
      },
      {
        from: 'mapped; a reset',
        before: [...START, mapBar('v')],
        actors: [touch('v'), RESET],
        ends: [end(`${BYTE}, ok`, 'OK'), end(`${BYTE}, ok`, 'OK', { cpu: [entry('v')] })],
        unreached: [{ answers: 'SIGBUS, ok', why: BLOCKED_UNTIL_DONE }],
      },
      {
        from: 'mapped and touched; an FLR',
        before: [...START, mapBar('v'), touch('v')],
        actors: [touch('v'), FLR],
        ends: [end(`${BYTE}, ok`, 'OK'), end(`${BYTE}, ok`, 'OK', { cpu: [entry('v')] })],
        unreached: [{ answers: 'SIGBUS, ok', why: BLOCKED_UNTIL_DONE }],
      },
      {
        from: 'mapped; a reset, v4, where the mapping is of a buffer of its own',
        kernel: 'v4',
        before: [...START, mapBar('v')],
        actors: [touch('v'), RESET],
        ends: [
          end(`${BYTE}, ok`, 'OK OK'),
          end(`${BYTE}, ok`, 'OK OK', { cpu: [entry('v')] }),
          end('SIGBUS, ok', 'OK OK'),
        ],
      },
    ],
  },
  {
    id: 'R9',
    actors: 'touch of a buffer ∥ close of the device',
    says: 'Data before, SIGBUS after; no entry survives.',
    cases: [
      {
        from: 'mapped',
        kernel: 'v4',
        before: [...START, mapBuf('w')],
        actors: [touch('w'), close('dev0')],
        ends: [end(`${BYTE}, ok`, ''), end('SIGBUS, ok', '')],
      },
      {
        from: 'mapped and touched',
        kernel: 'v4',
        before: [...START, mapBuf('w'), touch('w')],
        actors: [touch('w'), close('dev0')],
        ends: [end(`${BYTE}, ok`, ''), end('SIGBUS, ok', '')],
      },
    ],
  },
  {
    id: 'R10',
    actors: 'mmap of a buffer, then touch ∥ revoke for good',
    says: 'mmap succeeds, and a touch after the revoke is SIGBUS; or ENODEV.',
    cases: [
      {
        from: 'exported',
        kernel: 'v4',
        before: START,
        actors: [[mapBuf('w'), touch('w')], FOR_GOOD],
        ends: [end(`ok+${BYTE}, ok`, 'PERM'), end('ok+SIGBUS, ok', 'PERM'), end('ENODEV, ok', 'PERM')],
      },
      {
        from: 'mapped before',
        kernel: 'v4',
        before: [...START, mapBuf('w')],
        actors: [touch('w'), FOR_GOOD],
        ends: [end(`${BYTE}, ok`, 'PERM'), end('SIGBUS, ok', 'PERM')],
      },
    ],
    remarks: ['A touch that comes before the revoke gives data: the row tells of those after.'],
  },
  {
    id: 'R11',
    actors: 'revoke for good ∥ revoke for good',
    says: 'Exactly one succeeds, the other is EBADFD.',
    cases: [
      {
        from: 'usable, mapped and touched',
        kernel: 'v4',
        before: [...START, mapBuf('w'), touch('w')],
        actors: [FOR_GOOD, FOR_GOOD],
        ends: mirrored(end('ok, EBADFD', 'PERM')),
      },
      {
        from: 'revoked by memory off',
        kernel: 'v4',
        before: [...START, OFF],
        actors: [FOR_GOOD, FOR_GOOD],
        ends: mirrored(end('ok, EBADFD', 'PERM')),
      },
      {
        from: 'an importer that unmaps as soon as it is told',
        kernel: 'v4',
        before: [...START, ...importer('i', 'prompt'), { do: 'importer_map', importer: 'i' }],
        actors: [FOR_GOOD, FOR_GOOD],
        ends: mirrored(end('ok, EBADFD', 'PERM', { callbacks: ['i'], maps: 0 })),
      },
    ],
  },
  {
    id: 'R12',
    actors: 'revoke for good ∥ reset',
    says: 'Revoked for good in both orders; drained once.',
    cases: [
      {
        from: 'usable and mapped',
        kernel: 'v4',
        before: [...MAPPED, ...importer('i', 'late'), mapBuf('w'), touch('w')],
        actors: [FOR_GOOD, RESET],
        ends: [
          end('ok, ok', 'PERM', { unmaps: [UNMAPPED], callbacks: ['i'] }),
          end('ok, ok', 'PERM', { unmaps: [UNMAPPED], callbacks: ['i', 'i'] }),
        ],
      },
      {
        from: 'memory is off',
        kernel: 'v4',
        before: [...MAPPED, ...importer('i', 'late'), OFF],
        actors: [FOR_GOOD, RESET],
        ends: [end('ok, ok', 'PERM', { unmaps: [], callbacks: [] })],
      },
    ],
    remarks: [
      '"Drained once" holds of what was mapped. A reset that comes first makes the buffer usable again, and by 7.4 ' +
        'p3 the revoke for good then drains it again, though nothing is there: a second callback. Both are listed.',
    ],
  },
  {
    id: 'R13',
    actors: 'revoke for good ∥ close of the last descriptor of the buffer',
    says: 'Success, for the call holds a reference, or EBADF.',
    cases: [
      {
        from: 'nobody else holds the buffer',
        kernel: 'v4',
        before: START,
        actors: [FOR_GOOD, closeFd('buf')],
        ends: [end('ok, ok', ''), end('EBADF, ok', '')],
      },
      {
        from: 'a mapping holds it',
        kernel: 'v4',
        before: [...START, mapBuf('w'), touch('w')],
        actors: [FOR_GOOD, closeFd('buf')],
        ends: [end('ok, ok', 'PERM'), end('EBADF, ok', 'OK', { cpu: [entry('w')] })],
      },
    ],
  },
];

export const MAPPING_RACES: readonly Race[] = [
  {
    id: 'R21',
    actors: 'MEMATTR ∥ mmap of the buffer',
    says: 'The mapping gets the old or the new attribute.',
    cases: [
      {
        from: 'not cached, to write-combining',
        kernel: 'v4',
        before: START,
        actors: [{ do: 'vfio_dmabuf_memattr', dev: 'dev0', fd: 'buf', attr: 1 }, mapBuf('w')],
        ends: [end('ok, ok', 'OK', { types: ['UC'] }), end('ok, ok', 'OK', { types: ['WC'] })],
      },
    ],
  },
  {
    id: 'R25',
    actors: 'touch by a forked child ∥ revoke',
    says: 'As R9 and R10 for every process: no child keeps an entry.',
    cases: [
      {
        from: 'the parent has touched; memory off',
        kernel: 'v4',
        before: [...START, mapBuf('w'), touch('w'), FORK],
        actors: [touch('w', 'child'), OFF],
        ends: [end(`${BYTE}, ok`, 'TEMP'), end('SIGBUS, ok', 'TEMP')],
      },
      {
        from: 'nobody has touched; a revoke for good',
        kernel: 'v4',
        before: [...START, mapBuf('w'), FORK],
        actors: [touch('w', 'child'), FOR_GOOD],
        ends: [end(`${BYTE}, ok`, 'PERM'), end('SIGBUS, ok', 'PERM')],
      },
      {
        from: 'the parent has touched; the device closes',
        kernel: 'v4',
        before: [...START, mapBuf('w'), touch('w'), FORK],
        actors: [touch('w', 'child'), close('dev0')],
        ends: [end(`${BYTE}, ok`, ''), end('SIGBUS, ok', '')],
      },
      {
        from: 'the fork itself, and a touch of the child; memory off',
        kernel: 'v4',
        before: [...START, mapBuf('w'), touch('w')],
        actors: [[FORK, touch('w', 'child')], OFF],
        ends: [end(`ok+${BYTE}, ok`, 'TEMP'), end('ok+SIGBUS, ok', 'TEMP')],
      },
    ],
  },
];
