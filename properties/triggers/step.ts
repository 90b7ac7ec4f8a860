/** What a sequence of triggers is made of: devices as they may be, and everything that may happen to them. */
import type { Errno } from '../../impl/kernel/errno.ts';
import type { PowerState } from '../../impl/vfio/pci-device.ts';

/** A device, as far as it matters to what takes its memory away. */
export interface Kind {
  /** A virtual function, whose memory has no enable bit. */
  readonly virtual: boolean;
  readonly flr: boolean;
  readonly afFlr: boolean;
  /** By the PM capability, which every device has. */
  readonly pmReset: boolean;
  readonly d3hot: boolean;
  /** Its bus reset fails. */
  readonly linkFails: boolean;
  /** Number of the reset domain, and of the IOMMU group. */
  readonly set: number;
  readonly group: number;
}

/** What goes wrong in a step, the next time that it comes to that. */
export type Fault =
  | 'pci_user_read_config_word'
  | 'pci_user_write_config_word'
  | 'pci_dev_trylock'
  | 'pm_runtime_resume_and_get';
export const FAULTS: readonly Fault[] = [
  'pci_user_read_config_word',
  'pci_user_write_config_word',
  'pci_dev_trylock',
  'pm_runtime_resume_and_get',
];

/** A call on a device, or what the world does to it. */
export type DeviceStep =
  | { readonly do: 'open'; readonly dev: number; readonly ctx: number }
  | { readonly do: 'close'; readonly dev: number }
  | { readonly do: 'export'; readonly dev: number }
  | {
      readonly do: 'command';
      readonly dev: number;
      readonly offset: 4 | 5;
      readonly count: 1 | 2;
      readonly value: number;
    }
  | { readonly do: 'power'; readonly dev: number; readonly state: PowerState }
  | { readonly do: 'reset' | 'flr' | 'afFlr' | 'lpExit' | 'wake' | 'touch' | 'backdoor'; readonly dev: number }
  | { readonly do: 'lpEnter'; readonly dev: number; readonly wakeup: boolean }
  /** While somebody has memory_lock of `busy`, if there is one. */
  | { readonly do: 'hotReset'; readonly dev: number; readonly busy?: number }
  | { readonly do: 'sriov'; readonly dev: number; readonly on: boolean };

/** What happens to a buffer, by its number. */
export type BufferStep =
  | { readonly do: 'attach' | 'map' | 'unmap' | 'signal' | 'closeFd'; readonly buf: number }
  | { readonly do: 'fence'; readonly buf: number; readonly usage: 0 | 1 | 2 | 3 };

export type Step = (DeviceStep | BufferStep) & { readonly fault?: Fault };

export type Answer = Errno | 'SIGBUS' | 'ok';

/** `reset dev 0, fault pci_dev_trylock` */
export const showStep = ({ do: what, ...rest }: Step): string =>
  [what, ...Object.entries(rest).map(([name, value]) => `${name} ${value}`)].join(', ').replace(',', '');
