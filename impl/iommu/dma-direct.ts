/** The DMA API without an IOMMU, or past it: a device puts physical addresses on the bus. */
import type { Errno } from '../kernel/errno.ts';
import { Splat } from '../kernel/splat.ts';
import { shouldFail } from '../kernel/thread.ts';
import { bytes, type PhysAddr } from '../kernel/units.ts';
import type { DmaAddr, DmaApi } from './dma-api.ts';
import { LiveMappings } from './dma-live.ts';

export interface DmaDirectConfig {
  /** The device can say addresses up to this one; all of them, if absent. */
  readonly mask?: PhysAddr;
  /** Whatever the device does goes through bounce buffers (`swiotlb=force`), which memory of a device cannot. */
  readonly bounce?: boolean;
}

export class DmaDirect implements DmaApi {
  readonly #mask: PhysAddr;
  readonly #bounce: boolean;
  readonly live = new LiveMappings();

  constructor({ mask = 2 ** 52 - 1, bounce = false }: DmaDirectConfig = {}) {
    this.#mask = mask;
    this.#bounce = bounce;
  }

  iovaTryAlloc(): undefined {
    return undefined;
  }

  mapPhys(phys: PhysAddr, size: number): DmaAddr | Errno {
    if (shouldFail('dma_map_phys')) return 'ENOMEM';
    if (this.#bounce) return 'EPERM';
    if (phys + size - 1 > this.#mask) return 'ENOMEM';
    const addr = bytes(phys);
    this.live.add(addr, size);
    return addr;
  }

  unmapPhys(addr: DmaAddr, size: number): void {
    this.live.remove(addr, size);
  }

  iovaLink = noWindow;
  iovaSync = noWindow;
  iovaUnlink = noWindow;
  iovaFree = noWindow;
}

function noWindow(): never {
  throw new Splat('WARN', 'a window of IOVAs without an IOMMU');
}
