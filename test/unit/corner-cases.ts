/**
 * The corner cases of the trigger table, as sequences.
 *
 * Source: vfio-dmabuf 2.9
 */
import type { VfioPciConfig } from '../../impl/vfio/pci-device.ts';

export interface CornerCase {
  readonly id: `C${number}`;
  readonly promise: string;
  /** Nobody states it: it follows from what is stated. */
  readonly derived?: true;
  readonly device?: Partial<VfioPciConfig>;
  readonly sequence: readonly string[];
}

export const CORNER_CASES: readonly CornerCase[] = [
  {
    id: 'C1',
    promise: 'memory on while engaged makes the buffer usable, and BAR faults stay SIGBUS',
    derived: true,
    sequence: ['lpEnter', 'map ⇒ ENODEV', 'cmdMem 1', 'map', 'touch ⇒ SIGBUS', 'engaged ⇒ true'],
  },
  {
    id: 'C2',
    promise: 'a buffer exported while engaged is born usable, and its elder stays revoked',
    derived: true,
    sequence: ['lpEnter', 'export', 'map b1 ⇒ ENODEV', 'map b2', 'engaged ⇒ true'],
  },
  {
    id: 'C3',
    promise: 'a reset while engaged makes the buffer usable',
    derived: true,
    sequence: ['lpEnter', 'reset', 'map', 'touch ⇒ SIGBUS', 'engaged ⇒ true'],
  },
  {
    id: 'C4',
    promise: 'a wakeup disengages and lets the CPU in; only lpExit gives the buffer back',
    sequence: [
      'lpEnter wakeup',
      'touch ⇒ SIGBUS',
      'wake',
      'eventfd ⇒ 1',
      'engaged ⇒ false',
      'touch',
      'map ⇒ ENODEV',
      'lpExit',
      'map',
    ],
  },
  {
    id: 'C5',
    promise: 'a second lpEnter is EINVAL, with the buffer revoked and the device engaged',
    sequence: ['lpEnter', 'lpEnter ⇒ EINVAL', 'map ⇒ ENODEV', 'engaged ⇒ true', 'callbacks ⇒ 1'],
  },
  {
    id: 'C5',
    promise: 'a second lpEnter is EINVAL, and revokes what was given back in between',
    sequence: ['lpEnter', 'reset', 'map', 'lpEnter wakeup ⇒ EINVAL', 'map ⇒ ENODEV', 'engaged ⇒ true'],
  },
  ...['reset', 'flr', 'afFlr'].map(
    (reset): CornerCase => ({
      id: 'C6',
      promise: `${reset} ends D3hot, and with it the revoke`,
      device: { afCap: 3 },
      sequence: ['pm D3hot', 'map ⇒ ENODEV', reset, 'power ⇒ D0', 'map', 'touch'],
    }),
  ),
  {
    id: 'C7',
    promise: 'a hot reset ends D3hot, and with it the revoke',
    sequence: ['pm D3hot', 'hotReset', 'power ⇒ D0', 'map', 'touch'],
  },
  {
    id: 'C7',
    promise: 'a hot reset ends D3hot, and with it the revoke, though the bus then fails',
    device: { hotResetErr: 'ENOTTY' },
    sequence: ['pm D3hot', 'hotReset ⇒ ENOTTY', 'power ⇒ D0', 'map', 'touch'],
  },
  {
    id: 'C8',
    promise: 'a reset with memory off leaves the buffer revoked',
    sequence: ['cmdMem 0', 'reset', 'map ⇒ ENODEV', 'callbacks ⇒ 1', 'touch ⇒ SIGBUS', 'cmdMem 1', 'map'],
  },
  {
    id: 'C9',
    promise: 'memory off, D3hot and D0 leave the buffer revoked until memory is on',
    sequence: ['cmdMem 0', 'pm D3hot', 'pm D0', 'map ⇒ ENODEV', 'cmdMem 1', 'map'],
  },
  {
    id: 'C10',
    promise: 'a reset that is EAGAIN has called the importers, and the buffer is usable again',
    sequence: ['touch', 'fail pci_dev_trylock', 'reset ⇒ EAGAIN', 'callbacks ⇒ 2', 'entries ⇒ 0', 'map', 'touch'],
  },
  {
    id: 'C10',
    promise: 'a hot reset that is ENOTTY has called the importers, and the buffer is usable again',
    device: { hotResetErr: 'ENOTTY' },
    sequence: ['touch', 'hotReset ⇒ ENOTTY', 'callbacks ⇒ 2', 'entries ⇒ 0', 'map', 'touch'],
  },
  {
    id: 'C11',
    promise: 'D3hot with virtual functions enabled is refused inside: revoked and given back in one call',
    derived: true,
    sequence: ['touch', 'sriov', 'pm D3hot', 'power ⇒ D0', 'callbacks ⇒ 2', 'entries ⇒ 0', 'map', 'touch'],
  },
  {
    id: 'C12',
    promise: 'memory on twice calls nobody the second time',
    sequence: ['cmdMem 0', 'cmdMem 1', 'callbacks ⇒ 2', 'cmdMem 1', 'callbacks ⇒ 2', 'zaps ⇒ 1'],
  },
  {
    id: 'C13',
    promise: 'memory off twice zaps again, and calls nobody the second time',
    sequence: ['cmdMem 0', 'callbacks ⇒ 1', 'zaps ⇒ 1', 'cmdMem 0', 'callbacks ⇒ 1', 'zaps ⇒ 2'],
  },
  {
    id: 'C14',
    promise: 'a write of the upper byte of PCI_COMMAND is no trigger, whatever its bits',
    sequence: [
      'write 5 1 0x04',
      'command ⇒ 0x403',
      'write 5 2 0x0002',
      'callbacks ⇒ 0',
      'zaps ⇒ 0',
      'command ⇒ 0x203',
      'map',
    ],
  },
  {
    id: 'C15',
    promise: 'a write of the lower byte of PCI_COMMAND is a trigger, and leaves the upper alone',
    sequence: [
      'write 5 1 0x04',
      'write 4 1 0x01',
      'callbacks ⇒ 1',
      'zaps ⇒ 1',
      'command ⇒ 0x401',
      'map ⇒ ENODEV',
      'write 4 1 0x03',
      'command ⇒ 0x403',
      'map',
    ],
  },
  {
    id: 'C16',
    promise: 'any call on an engaged device wakes it for itself; it stays engaged, and the buffer revoked',
    derived: true,
    sequence: ['lpEnter', 'write 0x3c 1 0', 'engaged ⇒ true', 'map ⇒ ENODEV', 'touch ⇒ SIGBUS'],
  },
];
