/**
 * Resets, as rows of the trigger table.
 *
 * Source: vfio-dmabuf 2.8
 */
import { PCI_AF_CAP_FLR, PCI_AF_CAP_TP } from '../../impl/vfio/pci-device.ts';
import type { TriggerRow } from './trigger-rows.ts';

const AF = { resets: [], afCap: PCI_AF_CAP_FLR | PCI_AF_CAP_TP };
export const resets: readonly TriggerRow[] = [
  {
    promise: 'VFIO_DEVICE_RESET without a way to reset is EINVAL, and nothing happens',
    device: { resets: [] },
    event: 'reset',
    answer: 'EINVAL',
    effects: [],
    after: 'usable',
  },
  {
    promise: 'VFIO_DEVICE_RESET zaps, goes to D0, revokes, resets, and gives back',
    before: ['pm D1'],
    event: 'reset',
    effects: ['lock', 'zap', 'D0', 'revoke', 'reset', 'restore', 'unlock'],
    after: 'usable',
  },
  {
    promise: 'VFIO_DEVICE_RESET with memory off gives nothing back',
    before: ['cmdMem 0'],
    event: 'reset',
    effects: ['lock', 'zap', 'reset', 'unlock'],
    after: 'revoked',
  },
  {
    promise: 'VFIO_DEVICE_RESET that fails gives back all the same',
    before: ['fail pci_dev_trylock'],
    event: 'reset',
    answer: 'EAGAIN',
    effects: ['lock', 'zap', 'revoke', 'reset', 'restore', 'unlock'],
    after: 'usable',
  },
  ...(
    [
      ['FLR by PCI Express', 'flr', {}],
      ['FLR by Advanced Features', 'afFlr', AF],
    ] as const
  ).flatMap(([name, event, device]): TriggerRow[] => [
    {
      promise: `${name} zaps, revokes, resets, and gives back`,
      device,
      event,
      effects: ['lock', 'zap', 'revoke', 'reset', 'restore', 'unlock'],
      after: 'usable',
    },
    {
      promise: `${name} ends in D0, though the device was in D3hot`,
      device,
      before: ['pm D3hot'],
      event,
      effects: ['lock', 'zap', 'reset', 'D0', 'wait and restore', 'unlock'],
      after: 'usable',
    },
    {
      promise: `${name} with memory off gives nothing back`,
      device,
      before: ['cmdMem 0'],
      event,
      effects: ['lock', 'zap', 'reset', 'unlock'],
      after: 'revoked',
    },
    {
      promise: `${name} does not say that the reset failed, and gives back`,
      device,
      before: ['fail pci_dev_trylock'],
      event,
      effects: ['lock', 'zap', 'revoke', 'reset', 'restore', 'unlock'],
      after: 'usable',
    },
  ]),
  ...(
    [
      ['PCI Express', 'flr', { resets: ['pm', 'bus'] }],
      ['Advanced Features, which it has not', 'afFlr', {}],
      ['Advanced Features without FLR', 'afFlr', { afCap: PCI_AF_CAP_TP }],
      ['Advanced Features without Transactions Pending', 'afFlr', { afCap: PCI_AF_CAP_FLR }],
    ] as const
  ).map(
    ([how, event, device]): TriggerRow => ({
      promise: `FLR of a function that has none, by ${how}, does nothing`,
      device,
      event,
      effects: [],
      after: 'usable',
    }),
  ),
  {
    promise: 'a hot reset revokes before it zaps, resets the bus, and gives back',
    event: 'hotReset',
    effects: ['lock', 'revoke', 'zap', 'bus reset', 'restore', 'unlock'],
    after: 'usable',
  },
  {
    promise: 'a hot reset ends in D0, though the device was in D3hot',
    before: ['pm D3hot'],
    event: 'hotReset',
    effects: ['lock', 'zap', 'D0', 'bus reset', 'wait and restore', 'unlock'],
    after: 'usable',
  },
  {
    promise: 'a hot reset with memory off gives nothing back',
    before: ['cmdMem 0'],
    event: 'hotReset',
    effects: ['lock', 'zap', 'bus reset', 'unlock'],
    after: 'revoked',
  },
  {
    promise: 'a hot reset that fails gives back all the same',
    device: { hotResetErr: 'ENOTTY' },
    event: 'hotReset',
    answer: 'ENOTTY',
    effects: ['lock', 'revoke', 'zap', 'bus reset', 'restore', 'unlock'],
    after: 'usable',
  },
];
