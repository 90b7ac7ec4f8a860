/** P2PDMA providers: who owns the memory of a BAR, and how its addresses look on the bus. */
import type { Errno } from '../kernel/errno.ts';
import type { PhysAddr } from '../kernel/units.ts';
import type { VfioPciDevice } from './pci-device.ts';

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

/** `p2pdma_provider`: one for every memory BAR, because BARs may lie behind different bridge windows. */
export interface P2pdmaProvider {
  readonly owner: VfioPciDevice;
  /** Bus address minus physical address, in bytes; may be negative. */
  readonly busOffset: number;
}

/** `pcim_p2pdma_init()`: the providers of a device; a slot whose BAR is no memory BAR stays empty. */
export function pcimP2pdmaInit(owner: VfioPciDevice): ReadonlyMap<number, P2pdmaProvider> {
  const providers = new Map<number, P2pdmaProvider>();
  for (const [bar, { phys, busAddress = phys, io = false }] of owner.bars) {
    if (!io) providers.set(bar, { owner, busOffset: busAddress - phys });
  }
  return providers;
}

/** `pcim_p2pdma_provider()`: undefined for a BAR that is no memory BAR. */
export function pcimP2pdmaProvider(device: VfioPciDevice, bar: number): P2pdmaProvider | undefined {
  return device.providers.get(bar);
}
