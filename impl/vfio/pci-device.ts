/**
 * `vfio_pci_core_device`: a PCI function under vfio-pci, with what the VFIO core knows of it (`vfio_device`). What it
 * does stands in the files beside: opening it in vfio-device.ts, its buffers in pci-dmabuf.ts, what takes its memory
 * away in config-space.ts, reset.ts, hot-reset.ts and power.ts.
 */

import type { DmaDevice, IommuGroup, ReservedRegion } from '../iommu/group.ts';
import type { IommufdDevice } from '../iommufd/device.ts';
import { AddressSpace } from '../kernel/address-space.ts';
import { Completion } from '../kernel/completion.ts';
import type { Errno } from '../kernel/errno.ts';
import type { Eventfd } from '../kernel/eventfd.ts';
import { Kref } from '../kernel/kref.ts';
import { assertHeldAny, Rwsem } from '../kernel/rwsem.ts';
import { Splat } from '../kernel/splat.ts';
import type { Thread } from '../kernel/thread.ts';
import type { Vma } from '../kernel/vma.ts';
import type { BarResource, PciFunction } from '../pci/topology.ts';
import type { DevSet } from './dev-set.ts';
import type { VfioPciDmaBuf } from './pci-dmabuf.ts';
import type { GetDmabufPhys } from './pci-dmabuf-phys.ts';
import type { VfioDeviceFile } from './vfio-device.ts';

/** The number of a region stands in an offset of the device file from bit 40 on, in a page offset from bit 28 on. */
export const REGION_PAGES = 2 ** 28;
/** The first that is no BAR. */
export const VFIO_PCI_ROM_REGION_INDEX = 6;

/** `pci_power_t` as the state field of the PM control register has it. */
export type PowerState = 0 | 1 | 2 | 3 | 4;
export const PCI_D0 = 0;
export const PCI_D3HOT = 3;
/** No register has this one: it is what the kernel thinks of a function that does not answer any more. */
export const PCI_D3COLD = 4;

/** Bits of the PCI_COMMAND register. */
export const PCI_COMMAND_IO = 0x1;
export const PCI_COMMAND_MEMORY = 0x2;
export const PCI_COMMAND_MASTER = 0x4;

/** Bits of the capability register of Advanced Features, which conventional PCI has instead of PCI Express. */
export const PCI_AF_CAP_TP = 0x01;
export const PCI_AF_CAP_FLR = 0x02;

/** How VFIO_DEVICE_RESET can reset the function. */
export type ResetMethod = 'flr' | 'pm' | 'bus';

export interface VfioPciConfig {
  readonly group: IommuGroup;
  readonly reserved: readonly ReservedRegion[];
  readonly devSet: DevSet;
  readonly pci: PciFunction;
  readonly resets: readonly ResetMethod[];
  /** What a hot reset of this device always ends with, when its link does not come up again. */
  readonly hotResetErr?: Errno;
  /** A virtual function, whose memory has no enable bit of its own. */
  readonly noCommandMemory?: boolean;
  /** `get_dmabuf_phys` of the driver is there, as vfio-pci's is, so that BARs can be exported. */
  readonly exportsDmabufs?: boolean;
  /** Its own, in place of vfio-pci's. */
  readonly getDmabufPhys?: GetDmabufPhys;
  /**
   * An export asks whether the BAR of its number was claimed. It does in all versions; what hardware answers for a
   * region that is no BAR is not known, so that this can be switched.
   */
  readonly exportsClaimedOnly?: boolean;
  /** `reset_done`: what the driver does after every reset of the function. Called under memory_lock, if it is open. */
  readonly resetDone?: () => void;
  /** The driver's own `.mmap`, in place of vfio-pci's. */
  readonly mmap?: (device: VfioPciDevice, vma: Vma) => Thread<Errno | undefined>;
  /** The capability register of Advanced Features; no such capability where absent. */
  readonly afCap?: number;
  /** The power states that the function has; all of them, unless it says. */
  readonly powerStates?: readonly PowerState[];
}

/** What the user sees of configuration space, as far as anything here depends on it. */
export interface VirtualConfig {
  command: number;
  /** The device control register of the PCI Express capability. */
  devctl: number;
}

/** What the function itself has: a reset behind the kernel's back loses both. */
export interface PhysicalConfig {
  command: number;
  /** The BARs have the addresses that the kernel gave them. */
  barsProgrammed: boolean;
}

/** What the driver can only notice. */
export interface Environment {
  /** Somebody else has the lock of the function (`pci_dev_lock()`): sysfs, or the recovery from an error. */
  lockedElsewhere: boolean;
  /** It has been pulled out. Configuration space reads as all ones, writes are lost, and no reset comes to an end. */
  removed: boolean;
}

export class VfioPciDevice implements DmaDevice {
  readonly name: string;
  readonly group: IommuGroup;
  readonly reserved: readonly ReservedRegion[];
  readonly devSet: DevSet;
  readonly pci: PciFunction;
  readonly bars: ReadonlyMap<number, BarResource>;
  readonly resets: readonly ResetMethod[];
  readonly hotResetErr: Errno | undefined;
  readonly noCommandMemory: boolean;
  readonly exportsDmabufs: boolean;
  readonly getDmabufPhys: GetDmabufPhys | undefined;
  readonly exportsClaimedOnly: boolean;
  readonly resetDone: (() => void) | undefined;
  readonly ownMmap: VfioPciConfig['mmap'];
  readonly afCap: number;
  readonly powerStates: readonly PowerState[];
  /** What the IOMMU before it can do; it cannot, unless a test says so. */
  dirtyTracking = false;

  /** 1 until the driver goes, 1 for each open file, 1 for each buffer in `dmabufs`. */
  readonly registration: Kref;
  /** `comp`: nobody uses the device any more. */
  readonly unregistered: Completion;
  /** The newest descriptor; an older one may live on in a CPU mapping. */
  file: VfioDeviceFile | undefined;
  /** Files bound to an iommufd: 0 or 1, because cdev files are exclusive. Protected by dev_set->lock. */
  openCount = 0;
  /** `iommufd_device`, while bound, and whether it is attached. Protected by dev_set->lock. */
  iommufdDevice: IommufdDevice | undefined;
  iommufdAttached = false;

  /** Protects memory: `power`, `vconfig`, `engaged`, `wakeEventfd`, the list of buffers and their status. */
  readonly memoryLock: Rwsem;
  /** Present while open. */
  vconfig: VirtualConfig | undefined;
  readonly physical: PhysicalConfig = { command: 0, barsProgrammed: true };
  /** `current_state` of the PCI function. */
  power: PowerState = PCI_D0;
  /** `pm_runtime_engaged`: the user asked for low power, and has not asked to leave it. */
  engaged = false;
  /** `pm_wake_eventfd_ctx`: where it is there, the first resume ends `engaged` and is told. */
  wakeEventfd: Eventfd | undefined;
  /** `usage_count` of runtime PM: at 0 the function sleeps. Atomic. */
  pmUsage = 0;
  /** Virtual functions are enabled, so that D3hot is refused. */
  sriovActive = false;
  /** What can go wrong around it. Switched by whoever plays the hardware, and all well at first. */
  readonly environment: Environment = { lockedElsewhere: false, removed: false };
  /** Oldest export first. Holds no file references, or descriptors could never end a buffer's life. */
  readonly dmabufs: VfioPciDmaBuf[] = [];
  /** How many buffers were ever exported, to name them. */
  exports = 0;
  /** The CPU's mappings of BARs, through whichever file of the device. */
  readonly mapping: AddressSpace;
  /**
   * A revoke must look for mappings of BARs that are no buffers' (the unmerged series; before, it always does). A
   * driver with an `.mmap` of its own has them, unless it knows better and clears it.
   */
  zapBarsOnRevoke: boolean;

  /** `barmap`: why a BAR cannot be used, by number; constant while open. */
  readonly barErr: (Errno | undefined)[] = [];
  resetWorks = false;
  /** `needs_reset`: closed without a reset, which the last of the set makes up for. Protected by dev_set->lock. */
  needsReset = false;

  constructor(config: VfioPciConfig) {
    this.name = config.pci.name;
    this.group = config.group;
    this.reserved = config.reserved;
    this.devSet = config.devSet;
    this.pci = config.pci;
    this.bars = config.pci.bars;
    this.resets = config.resets;
    this.hotResetErr = config.hotResetErr;
    this.noCommandMemory = config.noCommandMemory ?? false;
    this.exportsDmabufs = config.exportsDmabufs ?? true;
    this.getDmabufPhys = config.getDmabufPhys;
    this.exportsClaimedOnly = config.exportsClaimedOnly ?? true;
    this.resetDone = config.resetDone;
    this.ownMmap = config.mmap;
    this.zapBarsOnRevoke = this.ownMmap !== undefined;
    this.afCap = config.afCap ?? 0;
    this.powerStates = config.powerStates ?? [0, 1, 2, 3];
    this.registration = new Kref(`registration of ${this.name}`);
    this.unregistered = new Completion(`unregistration of ${this.name}`, {
      owed: () => usersOf(this),
      waitClass: 'registration',
    });
    this.memoryLock = new Rwsem(`${this.name}.memory_lock`, 'memory_lock');
    this.mapping = new AddressSpace(this.name);
    this.devSet.devices.push(this);
  }
}

/** Who keeps the driver from going, once its own registration is gone. */
const usersOf = ({ name, registration }: VfioPciDevice): string | undefined =>
  registration.count === 0 ? undefined : `${registration.count} users of ${name}`;

/**
 * `__vfio_pci_memory_enabled()`: whether the function would answer an access to its BARs.
 * Locks: caller holds memory_lock
 * Fails: a Splat for a device that is not open, which has no virtual configuration
 */
export function memoryEnabled(device: VfioPciDevice): boolean {
  assertHeldAny(device.memoryLock);
  const vconfig = vconfigOf(device);
  return device.power < PCI_D3HOT && (device.noCommandMemory || (vconfig.command & PCI_COMMAND_MEMORY) !== 0);
}

/** Whether the function can be reset by the register of Advanced Features. */
export const hasAfFlr = ({ afCap }: VfioPciDevice): boolean =>
  (afCap & PCI_AF_CAP_FLR) !== 0 && (afCap & PCI_AF_CAP_TP) !== 0;

/** `vdev->vconfig`, which only an open device has. Fails with a Splat where the kernel would follow a NULL pointer. */
export function vconfigOf(device: VfioPciDevice): VirtualConfig {
  if (device.vconfig === undefined) throw new Splat('use after free', `${device.name} is not open: no vconfig`);
  return device.vconfig;
}
