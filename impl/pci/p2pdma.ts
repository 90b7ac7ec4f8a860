/** P2PDMA providers: who owns the memory of a BAR, and how its addresses look on the bus. */

import type { Errno } from '../kernel/errno.ts';
import { free } from '../kernel/poison.ts';
import { warnOn } from '../kernel/splat.ts';
import { shouldFail } from '../kernel/thread.ts';
import { addWrapping, bytes, type PhysAddr, subWrapping, type U64 } from '../kernel/units.ts';
import type { MapType } from './map-type.ts';
import type { PciFunction } from './topology.ts';

/** `p2pdma_provider`: one for every memory BAR, because BARs may lie behind different bridge windows. */
export interface P2pdmaProvider {
  readonly owner: PciFunction;
  /** Bus address minus physical address, in bytes, modulo 2^64. */
  readonly busOffset: U64;
}

/** `pci_p2pdma`: what a function has that lends its memory to others. */
export interface P2pdma {
  /** By BAR; a slot whose BAR is no memory BAR stays empty. */
  readonly mem: ReadonlyMap<number, P2pdmaProvider>;
  /** What was found out of each client, by its number; never asked again, whatever changes. */
  readonly mapTypes: Map<number, MapType>;
}

/**
 * `pcim_p2pdma_init()`: the function's memory can be lent from now on. Nothing to do when it can already.
 * Fails: EOPNOTSUPP for BARs that cannot be mapped; ENOMEM
 */
export function pcimP2pdmaInit(pdev: PciFunction): Errno | undefined {
  if (pdev.nonMappableBars) return 'EOPNOTSUPP';
  if (pdev.p2pdma !== undefined) return undefined;
  if (shouldFail('pcim_p2pdma_init')) return 'ENOMEM';
  const mem = new Map<number, P2pdmaProvider>();
  for (const [bar, { phys, busAddress = phys, io = false }] of pdev.bars) {
    if (!io) mem.set(bar, { owner: pdev, busOffset: subWrapping(bytes(busAddress), bytes(phys)) });
  }
  pdev.p2pdma = { mem, mapTypes: new Map() };
  return undefined;
}

/** What devres does of it when the driver goes: providers that somebody still holds are of no use from now on. */
export function pcimP2pdmaRelease(pdev: PciFunction): void {
  for (const provider of pdev.p2pdma?.mem.values() ?? []) free(provider, 'p2pdma_provider');
  pdev.p2pdma = undefined;
}

/**
 * `pcim_p2pdma_provider()`: undefined for a BAR that is no memory BAR, or cannot be mapped.
 * Fails: a Splat before `pcim_p2pdma_init()`
 */
export function pcimP2pdmaProvider(pdev: PciFunction, bar: number): P2pdmaProvider | undefined {
  const resource = pdev.bars.get(bar);
  if (resource === undefined || resource.io === true || pdev.nonMappableBars) return undefined;
  warnOn(pdev.p2pdma === undefined, `${pdev.name}: a provider is asked for before pcim_p2pdma_init()`);
  return pdev.p2pdma?.mem.get(bar);
}

/** `pci_p2pdma_bus_addr_map()`: where a physical address of the provider's BAR is on the bus. */
export const busAddrMap = ({ busOffset }: P2pdmaProvider, paddr: PhysAddr): U64 => addWrapping(bytes(paddr), busOffset);
