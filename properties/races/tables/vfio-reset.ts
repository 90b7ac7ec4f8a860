/** Races of resets and of power. Source: vfio-dmabuf 7.3, R14 to R16, R20, R23; 2.10 */
import { end, type Race } from '../race.ts';
import {
  attach,
  close,
  exportAs,
  FLR,
  hotReset,
  MAP,
  MAP_OTHER,
  MAPPED,
  mapBar,
  memory,
  OFF,
  ON,
  OPENED,
  open,
  otherAt,
  RESET,
  START,
  touch,
  UNMAPPED,
} from '../steps.ts';

/** Each device has lent its BAR, and dev1 reaches both. */
const BOTH_LENT = [...OPENED, exportAs('buf'), exportAs('other', 'dev1'), attach('dev1'), MAP, MAP_OTHER];
const memoryOffOf = (dev: string) => `a write that turns off the memory of ${dev}`;

/** dev0 alone is open; it has lent its BAR, and reaches that itself. */
const ONE_OPEN = [
  { do: 'iommufd_open', as: 'ctx' },
  { do: 'ioas_alloc', ctx: 'ctx', as: 'ioas' },
  ...open('dev0'),
  exportAs('buf'),
  attach('dev0'),
  MAP,
] as const;

const lowPower = (wakeup: boolean) => ({ do: 'vfio_low_power_entry', dev: 'dev0', wakeup }) as const;
const EXIT = { do: 'vfio_low_power_exit', dev: 'dev0' } as const;
const WAKE = { do: 'vfio_wake', dev: 'dev0' } as const;
const AWAKE = 'not engaged, 1 reference';

export const HOT_RESET_RACES: readonly Race[] = [
  {
    id: 'R14',
    actors: 'hot reset ∥ config write of a member, or a fault',
    says: 'EBUSY, undone, or one after the other; no member stays locked, or revoked while M(d) is true.',
    cases: [
      {
        from: memoryOffOf('the second member'),
        machine: 'one bus',
        before: BOTH_LENT,
        actors: [hotReset('dev0'), memory(false, 'dev1')],
        ends: [end('ok, ok', 'OK TEMP'), end('EBUSY, ok', 'OK TEMP')],
      },
      {
        from: memoryOffOf('the first member'),
        machine: 'one bus',
        before: BOTH_LENT,
        actors: [hotReset('dev0'), OFF],
        ends: [end('ok, ok', 'TEMP OK'), end('EBUSY, ok', 'TEMP OK', { reach: [otherAt('dev1')] })],
      },
      {
        from: 'a write that leaves the memory of the first member on',
        machine: 'one bus',
        before: BOTH_LENT,
        actors: [hotReset('dev0'), ON],
        ends: [
          end('ok, ok', 'OK OK'),
          end('EBUSY, ok', 'OK OK', { reach: ['dev1 0x1000000 → dev0:2+0x0 0x4000', otherAt('dev1')] }),
        ],
      },
      {
        from: 'a touch of the BAR of the second member',
        quick: 3,
        machine: 'one bus',
        before: [...BOTH_LENT, mapBar('v', 'dev1')],
        actors: [hotReset('dev0'), touch('v')],
        ends: [
          end('ok, dev1:2+0x0', 'OK OK'),
          end('ok, dev1:2+0x0', 'OK OK', { cpu: ['process v → dev1:2+0x0'] }),
          end('EBUSY, dev1:2+0x0', 'OK OK', { reach: [otherAt('dev1')], cpu: ['process v → dev1:2+0x0'] }),
        ],
      },
    ],
    remarks: [
      'Undone is what was done before the trylock: the buffers of earlier members are usable again. Their areas ' +
        'stay empty, for no un-revoke fills one (iommufd 3.7). The first member is the one that was probed first.',
    ],
  },
  {
    id: 'R15',
    actors: 'hot reset ∥ hot reset',
    says: 'One after the other.',
    cases: [
      {
        from: 'through two members of one bus',
        machine: 'one bus',
        before: BOTH_LENT,
        actors: [hotReset('dev0'), hotReset('dev1')],
        ends: [end('ok, ok', 'OK OK')],
      },
      {
        from: 'twice through one',
        machine: 'one bus',
        before: BOTH_LENT,
        actors: [hotReset('dev0'), hotReset('dev0')],
        ends: [end('ok, ok', 'OK OK')],
      },
    ],
  },
  {
    id: 'R16',
    actors: 'hot reset ∥ open or close of a member',
    says: 'One after the other, by dev_set->lock; members that are not open are left out when buffers are given back.',
    cases: [
      {
        from: 'a member of the same group opens',
        machine: 'one group',
        before: ONE_OPEN,
        actors: [hotReset('dev0'), open('dev1')],
        ends: [end('ok, ok+ok', 'OK')],
      },
      {
        from: 'a member of the same group closes',
        machine: 'one group',
        before: [...ONE_OPEN, ...open('dev1')],
        actors: [hotReset('dev0'), close('dev1')],
        ends: [end('ok, ok', 'OK')],
      },
      {
        from: 'a member of another group opens',
        machine: 'one bus',
        before: ONE_OPEN,
        actors: [hotReset('dev0'), open('dev1')],
        ends: [end('ok, ok+ok', 'OK'), end('EINVAL, ok+ok', 'OK')],
      },
      {
        from: 'a member of another group closes',
        machine: 'one bus',
        before: [...ONE_OPEN, ...open('dev1')],
        actors: [hotReset('dev0'), close('dev1')],
        ends: [end('ok, ok', 'OK'), end('EINVAL, ok', 'OK')],
      },
    ],
    remarks: ['A member that is not bound is owned only through its group (2.10, 3a): otherwise EINVAL, and undone.'],
  },
];

export const RESET_RACES: readonly Race[] = [
  {
    id: 'R20',
    actors: 'reset ∥ reset',
    says: 'One after the other.',
    cases: [
      {
        from: 'mapped for DMA and for the CPU',
        before: [...MAPPED, mapBar('v'), touch('v')],
        actors: [RESET, RESET],
        ends: [end('ok, ok', 'OK', { unmaps: [UNMAPPED] })],
      },
      {
        from: 'a reset and an FLR',
        before: [...MAPPED, mapBar('v'), touch('v')],
        actors: [RESET, FLR],
        ends: [end('ok, ok', 'OK', { unmaps: [UNMAPPED] })],
      },
    ],
  },
  {
    id: 'R23',
    actors: 'low power exit ∥ wake-up',
    says: 'Low power ends once, with one reference for the runtime; then usable again iff M(d).',
    cases: [
      {
        from: 'low power',
        before: [...START, lowPower(false)],
        actors: [EXIT, WAKE],
        ends: [end('ok, ok', 'OK', { power: AWAKE })],
      },
      {
        from: 'low power with a wakeup',
        before: [...START, lowPower(true)],
        actors: [EXIT, WAKE],
        ends: [end('ok, ok', 'OK', { power: AWAKE })],
      },
      {
        from: 'low power with a wakeup, and memory is off',
        before: [...START, OFF, lowPower(true)],
        actors: [EXIT, WAKE],
        ends: [end('ok, ok', 'TEMP', { power: AWAKE })],
      },
      {
        from: 'low power with a wakeup; two exits',
        before: [...START, lowPower(true)],
        actors: [EXIT, EXIT],
        ends: [end('ok, ok', 'OK', { power: AWAKE })],
      },
    ],
  },
];
