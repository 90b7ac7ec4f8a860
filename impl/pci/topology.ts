/**
 * The PCI hierarchy as far as peer-to-peer DMA asks: host bridges, the ports below them, and the functions at its ends.
 * Everything is constant once it is there, but for the ACS control bits and what the functions' drivers have set up.
 */
import type { DmaApi } from '../iommu/dma-api.ts';
import { DmaDirect } from '../iommu/dma-direct.ts';
import type { Errno } from '../kernel/errno.ts';
import { warnOn } from '../kernel/splat.ts';
import type { PhysAddr } from '../kernel/units.ts';
import type { P2pdma } from './p2pdma.ts';

/** Control bits of Access Control Services. The first three send what goes to a peer up to the host bridge. */
export const PCI_ACS_RR = 0x4;
export const PCI_ACS_CR = 0x8;
export const PCI_ACS_EC = 0x20;
export const PCI_ACS_SV = 0x1;
export const PCI_ACS_UF = 0x10;

/** What the CPU is: some can be relied on to pass DMA on between their root ports. */
export interface Platform {
  readonly vendor: 'amd' | 'intel' | 'other';
  /** Of the CPU, as CPUID tells it. */
  readonly family: number;
}

/** What PCI enumeration knows of a BAR; one that is absent has no entry. */
export interface BarResource {
  /** In bytes; a power of two. */
  readonly size: number;
  readonly phys: PhysAddr;
  /** Where the BAR is on the bus, if that differs. */
  readonly busAddress?: PhysAddr;
  /** An I/O port BAR, which nobody reaches by DMA. */
  readonly io?: boolean;
  /** Why the driver cannot have it, if it cannot: another owns it. */
  readonly claimErr?: Errno;
}

/** `pci_host_bridge`: the root of one hierarchy. Its root bus is bus 0. */
export class HostBridge {
  readonly platform: Platform;
  /** The PCI segment. */
  readonly domain: number;
  /** The functions of the root bus, in the order of enumeration. */
  readonly rootBus: PciFunction[] = [];
  #buses = 1;

  constructor(platform: Platform, domain = 0) {
    this.platform = platform;
    this.domain = domain;
  }

  nextBus(): number {
    return this.#buses++;
  }
}

/** `pci_pcie_type()`, as far as it matters here. */
export type PcieType = 'root port' | 'upstream port' | 'downstream port' | 'endpoint';

/** Where a function stands, and what it is. */
export interface PciPlace {
  /** The host bridge of its root bus, or the port above it. */
  readonly parent: HostBridge | PciFunction;
  readonly type?: PcieType;
  /** Device and function number on its bus, 0 to 255: the next that is free, if absent. */
  readonly devfn?: number;
  readonly vendor?: number;
  readonly device?: number;
  /** The ACS control bits that are set. */
  readonly acs?: number;
  /** Its BARs cannot be mapped, by whomever. */
  readonly nonMappableBars?: boolean;
  /** How its own DMA is mapped: directly, if absent. */
  readonly dma?: DmaApi;
}

export interface PciConfig extends PciPlace {
  readonly name: string;
  readonly bars?: ReadonlyMap<number, BarResource>;
}

/** `pci_dev`: one function, a port included. It can be an importer's device. */
export class PciFunction {
  readonly name: string;
  readonly host: HostBridge;
  /** `pci_upstream_bridge()`: absent on a root bus. */
  readonly upstream: PciFunction | undefined;
  readonly type: PcieType;
  readonly bus: number;
  readonly devfn: number;
  readonly vendor: number;
  readonly device: number;
  readonly bars: ReadonlyMap<number, BarResource>;
  readonly nonMappableBars: boolean;
  readonly dma: DmaApi;
  /** ACS control bits; software may change them at any time. */
  acs: number;
  /** Present from its driver's `pcim_p2pdma_init()` until the driver goes. */
  p2pdma: P2pdma | undefined;
  /** The functions of the bus below a port, in the order of enumeration. */
  readonly below: PciFunction[] = [];
  readonly #secondaryBus: number | undefined;

  constructor(config: PciConfig) {
    const { parent } = config;
    const port = parent instanceof PciFunction ? parent : undefined;
    const siblings = parent instanceof PciFunction ? parent.below : parent.rootBus;
    this.name = config.name;
    this.host = parent instanceof PciFunction ? parent.host : parent;
    this.upstream = port;
    this.type = config.type ?? 'endpoint';
    this.bus = port?.secondaryBus ?? 0;
    this.devfn = config.devfn ?? Math.max(-1, ...siblings.map(({ devfn }) => devfn)) + 1;
    warnOn(
      siblings.some(({ devfn }) => devfn === this.devfn),
      `${this.name}: devfn ${this.devfn} of bus ${this.bus} is taken`,
    );
    this.vendor = config.vendor ?? 0xffff;
    this.device = config.device ?? 0xffff;
    this.bars = config.bars ?? new Map();
    this.nonMappableBars = config.nonMappableBars ?? false;
    this.dma = config.dma ?? new DmaDirect();
    this.acs = config.acs ?? 0;
    this.#secondaryBus = this.type === 'endpoint' ? undefined : this.host.nextBus();
    siblings.push(this);
  }

  /** The number of the bus below a port. Fails with a Splat for an endpoint, which has none. */
  get secondaryBus(): number {
    warnOn(this.#secondaryBus === undefined, `${this.name} is no port`);
    return this.#secondaryBus as number;
  }
}

/** `dev_is_pci()` */
export const isPci = (dev: object): dev is PciFunction => dev instanceof PciFunction;
