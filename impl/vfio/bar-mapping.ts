/**
 * CPU mappings of BARs, as far as the device sees them: it removes their page table entries before memory goes away.
 */
import { assertHeldWrite } from '../kernel/rwsem.ts';
import type { VfioPciDevice } from './pci-device.ts';

/** A mapping made through the device file. It holds a reference to that file, so it keeps the device open. */
export interface BarMapping {
  /** Remove its page table entries; the next touch faults. */
  zap(): void;
}

/**
 * `vfio_pci_zap_bars()`: no CPU reaches the BARs through the device file any more, until it faults again.
 * Locks: caller holds memory_lock for writing
 */
export function zapBars(device: VfioPciDevice): void {
  assertHeldWrite(device.memoryLock);
  for (const mapping of device.barMappings) mapping.zap();
}
