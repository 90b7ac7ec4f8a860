/**
 * What takes a device's memory away, and gives it back: for each event what happens in which order, and how the buffers
 * are left.
 *
 * Source: vfio-dmabuf 2.6, 2.8
 */
import type { Errno } from '../../impl/kernel/errno.ts';
import type { VfioPciConfig } from '../../impl/vfio/pci-device.ts';
import { resets } from './trigger-rows-reset.ts';
import type { Effect } from './trigger-scene.ts';

export interface TriggerRow {
  readonly promise: string;
  /** Nobody states it: it follows from what is stated. */
  readonly derived?: true;
  readonly device?: Partial<VfioPciConfig>;
  /** In the notation of the sequences, as the event. */
  readonly before?: readonly string[];
  readonly event: string;
  readonly answer?: Errno;
  /** Some of them for each part. */
  readonly effects: readonly Effect[];
  readonly after: 'usable' | 'revoked';
}

const VF = { noCommandMemory: true };
/** A sleeping device wakes up for a call, and sleeps again when it is done. */
const WAKES: readonly Effect[] = ['lock', 'unlock'];
const SLEEPS: readonly Effect[] = ['lock', 'unlock'];

const command: readonly TriggerRow[] = [
  {
    promise: 'memory off zaps and revokes before the register is written',
    event: 'cmdMem 0',
    effects: ['read', 'lock', 'zap', 'revoke', 'write', 'command', 'unlock'],
    after: 'revoked',
  },
  {
    promise: 'memory off is EIO, and nothing happens, when the register cannot be read',
    before: ['fail pci_user_read_config_word'],
    event: 'cmdMem 0',
    answer: 'EIO',
    effects: ['read'],
    after: 'usable',
  },
  {
    promise: 'memory off is EIO when the register cannot be written: the bit stays on, the buffers stay revoked',
    before: ['fail pci_user_write_config_word'],
    event: 'cmdMem 0',
    answer: 'EIO',
    effects: ['read', 'lock', 'zap', 'revoke', 'write', 'unlock'],
    after: 'revoked',
  },
  {
    promise: 'memory off of a virtual function revokes, and gives back in the same write',
    derived: true,
    device: VF,
    event: 'cmdMem 0',
    effects: ['read', 'lock', 'zap', 'revoke', 'write', 'command', 'restore', 'unlock'],
    after: 'usable',
  },
  {
    promise: 'memory on, while on, calls nobody',
    event: 'cmdMem 1',
    effects: ['read', 'lock', 'write', 'command', 'unlock'],
    after: 'usable',
  },
  {
    promise: 'memory on gives back when the register is written',
    before: ['cmdMem 0'],
    event: 'cmdMem 1',
    effects: ['read', 'lock', 'write', 'command', 'wait and restore', 'unlock'],
    after: 'usable',
  },
  {
    promise: 'memory on in D3hot gives nothing back',
    before: ['cmdMem 0', 'pm D3hot'],
    event: 'cmdMem 1',
    effects: ['read', 'lock', 'write', 'command', 'unlock'],
    after: 'revoked',
  },
  {
    promise: 'memory on that cannot be written is EIO, and gives nothing back',
    before: ['cmdMem 0', 'fail pci_user_write_config_word'],
    event: 'cmdMem 1',
    answer: 'EIO',
    effects: ['read', 'lock', 'write', 'unlock'],
    after: 'revoked',
  },
  {
    promise: 'memory on gives the BARs their addresses back after a reset that the kernel knows nothing of',
    before: ['backdoor'],
    event: 'cmdMem 1',
    effects: ['read', 'lock', 'BARs', 'write', 'command', 'unlock'],
    after: 'usable',
  },
  {
    promise: 'a write elsewhere does nothing',
    event: 'write 0x3c 1 0',
    effects: [],
    after: 'usable',
  },
];

const power: readonly TriggerRow[] = [
  {
    promise: 'D3hot zaps and revokes, and only then sleeps',
    event: 'pm D3hot',
    effects: ['lock', 'zap', 'revoke', 'D3', 'unlock'],
    after: 'revoked',
  },
  {
    promise: 'D3hot with virtual functions enabled is refused: revoked and given back in one call, and no error',
    derived: true,
    before: ['sriov'],
    event: 'pm D3hot',
    effects: ['lock', 'zap', 'revoke', 'restore', 'unlock'],
    after: 'usable',
  },
  {
    promise: 'D3hot of a function that has no D3hot revokes and gives back',
    device: { powerStates: [0] },
    event: 'pm D3hot',
    effects: ['lock', 'zap', 'revoke', 'restore', 'unlock'],
    after: 'usable',
  },
  {
    promise: 'D0 gives back',
    before: ['pm D3hot'],
    event: 'pm D0',
    effects: ['lock', 'D0', 'wait and restore', 'unlock'],
    after: 'usable',
  },
  {
    promise: 'D0 with memory off gives nothing back',
    before: ['cmdMem 0', 'pm D3hot'],
    event: 'pm D0',
    effects: ['lock', 'D0', 'unlock'],
    after: 'revoked',
  },
  ...([1, 2] as const).flatMap((state): TriggerRow[] => [
    {
      promise: `D${state} neither zaps nor revokes`,
      event: `pm D${state}`,
      effects: ['lock', `D${state}`, 'unlock'],
      after: 'usable',
    },
    {
      promise: `D${state} from D3hot gives back`,
      before: ['pm D3hot'],
      event: `pm D${state}`,
      effects: ['lock', `D${state}`, 'wait and restore', 'unlock'],
      after: 'usable',
    },
    {
      promise: `D${state} with virtual functions enabled is refused, and nobody notices`,
      before: ['sriov'],
      event: `pm D${state}`,
      effects: ['lock', 'unlock'],
      after: 'usable',
    },
  ]),
];

const lowPower: readonly TriggerRow[] = [
  ...['lpEnter', 'lpEnter wakeup'].flatMap((event): TriggerRow[] => [
    {
      promise: `${event} zaps, revokes and engages; the device sleeps when the call is done`,
      event,
      effects: ['lock', 'zap', 'revoke', 'engaged', 'unlock', ...SLEEPS],
      after: 'revoked',
    },
    {
      promise: `${event}, while engaged, is EINVAL, but has revoked`,
      before: ['lpEnter', 'cmdMem 1'],
      event,
      answer: 'EINVAL',
      effects: [...WAKES, 'lock', 'zap', 'revoke', 'unlock', ...SLEEPS],
      after: 'revoked',
    },
  ]),
  {
    promise: 'lpExit disengages, and gives back',
    before: ['lpEnter'],
    event: 'lpExit',
    effects: [...WAKES, 'lock', 'disengaged', 'wait and restore', 'unlock'],
    after: 'usable',
  },
  {
    promise: 'lpExit with memory off gives nothing back',
    before: ['cmdMem 0', 'lpEnter'],
    event: 'lpExit',
    effects: [...WAKES, 'lock', 'disengaged', 'unlock'],
    after: 'revoked',
  },
  {
    promise: 'lpExit without low power succeeds, and calls nobody',
    event: 'lpExit',
    effects: ['lock', 'unlock'],
    after: 'usable',
  },
  {
    promise: 'lpExit that woke the device by itself tells the eventfd, and then gives back',
    before: ['lpEnter wakeup'],
    event: 'lpExit',
    effects: ['lock', 'eventfd', 'disengaged', 'unlock', 'lock', 'wait and restore', 'unlock'],
    after: 'usable',
  },
  {
    promise: 'runtime suspend goes to D0, and gives nothing back',
    before: ['pm D3hot'],
    event: 'lpEnter',
    effects: ['lock', 'zap', 'engaged', 'unlock', 'lock', 'D0', 'unlock'],
    after: 'revoked',
  },
  {
    promise: 'runtime resume gives nothing back, and the device sleeps again',
    before: ['lpEnter'],
    event: 'wake',
    effects: [...WAKES, ...SLEEPS],
    after: 'revoked',
  },
  {
    promise: 'runtime resume with wakeup armed tells the eventfd, disengages, and gives nothing back',
    before: ['lpEnter wakeup'],
    event: 'wake',
    effects: ['lock', 'eventfd', 'disengaged', 'unlock'],
    after: 'revoked',
  },
];

const closing: readonly TriggerRow[] = [
  {
    promise: 'the last close revokes and forgets, before the function is disabled, slept and reset',
    before: ['munmap'],
    event: 'closeDev',
    effects: ['lock', 'revoke', 'forgotten', 'unlock', 'lock', 'unlock', 'disabled', 'reset', ...SLEEPS],
    after: 'revoked',
  },
  {
    promise: 'the last close of revoked buffers calls nobody again',
    before: ['cmdMem 0', 'munmap'],
    event: 'closeDev',
    effects: ['lock', 'forgotten', 'unlock', 'lock', 'unlock', 'disabled', 'reset', ...SLEEPS],
    after: 'revoked',
  },
  {
    promise: 'the last close of a set that no function of can be reset alone resets the bus, and revokes nothing',
    device: { resets: [] },
    before: ['munmap'],
    event: 'closeDev',
    effects: ['lock', 'revoke', 'forgotten', 'unlock', 'lock', 'unlock', 'disabled', 'bus reset', ...SLEEPS],
    after: 'revoked',
  },
];

export const TRIGGERS: readonly TriggerRow[] = [...resets, ...command, ...power, ...lowPower, ...closing];
