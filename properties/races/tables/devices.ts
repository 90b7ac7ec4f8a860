/** Devices, and contexts, that come and go while others work. Source: iommufd 1.1, 1.5, 2.2, 2.11, 2.12 */
import { end, type Race } from '../race.ts';
import { ATTACHED, attach, bufAt, close, destroy, detach, hwpt, MAP, MAPPED, START, UNMAPPED } from '../steps.ts';

/** dev0 reaches its own buffer. */
const OWN = [...START, attach('dev0'), MAP];
const MAPPED_ONCE = 'map ioas 0x1000000 0x4000';

export const DEVICE_RACES: readonly Race[] = [
  {
    id: 'D1',
    actors: 'detach of a device ∥ detach of the only other',
    says: 'The automatic domain goes once.',
    cases: [
      {
        from: 'mapped in the domain of both',
        before: [...OWN, attach('dev1')],
        actors: [detach('dev1'), detach('dev0')],
        ends: [end('ok, ok', 'OK', { unmaps: [UNMAPPED] })],
      },
    ],
  },
  {
    id: 'D2',
    actors: 'attach of a device ∥ attach of another',
    says: 'One automatic domain is made, and both are in it.',
    cases: [
      {
        from: 'mapped, no domain',
        before: [...START, MAP],
        actors: [attach('dev1'), attach('dev0')],
        ends: [end('ok, ok', 'OK', { reach: [bufAt('dev0'), bufAt('dev1')], calls: [MAPPED_ONCE] })],
      },
    ],
  },
  {
    id: 'D3',
    actors: 'detach of the last device ∥ attach of another',
    says: 'That has the old domain or a new one, never one that goes.',
    cases: [
      {
        from: 'mapped in the domain of the one',
        before: MAPPED,
        actors: [detach('dev1'), attach('dev0')],
        ends: [
          end('ok, ok', 'OK', { reach: [bufAt('dev0')], unmaps: [UNMAPPED] }),
          end('ok, ok', 'OK', { reach: [bufAt('dev0')], unmaps: [] }),
        ],
      },
    ],
  },
  {
    id: 'D4',
    actors: 'HWPT_ALLOC ∥ close of its device',
    says: 'The close waits, or the device is gone before.',
    cases: [
      {
        from: 'mapped in the domain of another',
        before: OWN,
        actors: [hwpt('hwpt', 'dev1'), close('dev1')],
        ends: [
          end('ok, ok', 'OK', { reach: [bufAt('dev0'), bufAt('hwpt')] }),
          end('ENOENT, ok', 'OK', { reach: [bufAt('dev0')] }),
        ],
      },
    ],
  },
  {
    id: 'D5',
    actors: 'DESTROY of a HWPT ∥ attach to it',
    says: 'It is in use, or there is none.',
    cases: [
      {
        from: 'mapped in it, and in the domain of another device',
        before: [...OWN, hwpt('hwpt')],
        actors: [destroy('hwpt'), attach('dev1', 'hwpt')],
        ends: [
          end('ok, ENOENT', 'OK', { reach: [bufAt('dev0')], unmaps: ['unmap hwpt 0x1000000 0x4000'] }),
          end('EBUSY, ok', 'OK', { reach: [bufAt('dev0'), bufAt('dev1'), bufAt('hwpt')], unmaps: [] }),
        ],
      },
    ],
  },
  {
    id: 'D6',
    actors: 'MAP_FILE ∥ close of its context',
    says: 'The context is released afterwards, or is closed before.',
    cases: [
      {
        from: 'no device keeps the context',
        before: [...ATTACHED, { do: 'iommufd_open', as: 'second' }, { do: 'ioas_alloc', ctx: 'second', as: 'other' }],
        actors: [
          { ...MAP, ioas: 'other' },
          { do: 'iommufd_close', ctx: 'second' },
        ],
        ends: [end('EBADF, ok', 'OK'), end('ok, ok', 'OK')],
      },
    ],
  },
];
