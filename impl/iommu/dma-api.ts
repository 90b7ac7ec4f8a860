/**
 * The DMA API of one device: how physical addresses become addresses that the device can use. Only memory of other
 * devices is mapped here (`DMA_ATTR_MMIO`). A window of IOVAs is made first and filled piece by piece; where there is
 * none, each piece is mapped on its own. Undoing cannot fail, and undoing what was not done is a splat, as with
 * CONFIG_DMA_API_DEBUG.
 */
import type { Errno } from '../kernel/errno.ts';
import type { PhysAddr, U64 } from '../kernel/units.ts';
import { IOMMU_MMIO, IOMMU_READ, IOMMU_WRITE } from './prot.ts';

/** `dma_addr_t`: an address as the device puts it on the bus, in bytes. A bus address or an IOVA. */
export type DmaAddr = U64;

/** `dma_data_direction`, as the device sees memory. */
export type DmaDirection = 'bidirectional' | 'to device' | 'from device';

/** `dma_iova_state`: one window, in bytes. */
export interface DmaIovaState {
  readonly addr: DmaAddr;
  readonly size: number;
  /** How much of it is linked, from its start. */
  linked: number;
  /** How much of that the hardware is sure to know. */
  synced: number;
}

/** Units: sizes and offsets in bytes. */
export interface DmaApi {
  /** `dma_iova_try_alloc()`: undefined where DMA is not remapped, or no window is free. */
  iovaTryAlloc(size: number): DmaIovaState | undefined;
  /**
   * `dma_iova_link()`: the window reaches `phys` from `offset` on, once it is synced.
   * Fails: EPERM where the memory would have to be bounced; what the IOMMU answers
   */
  iovaLink(state: DmaIovaState, phys: PhysAddr, offset: number, size: number, dir: DmaDirection): Errno | undefined;
  /** `dma_iova_sync()`: the hardware knows of what was linked. Fails: ENOMEM */
  iovaSync(state: DmaIovaState, offset: number, size: number): Errno | undefined;
  /** `dma_iova_unlink()`: the first `size` bytes, all that are linked, reach nothing any more. */
  iovaUnlink(state: DmaIovaState, size: number): void;
  /** `dma_iova_free()`: the window is empty, and another's from now on. */
  iovaFree(state: DmaIovaState): void;
  /** `dma_map_phys()`. Fails: EPERM where the memory would have to be bounced; ENOMEM */
  mapPhys(phys: PhysAddr, size: number, dir: DmaDirection): DmaAddr | Errno;
  /** `dma_unmap_phys()`: just what one `dma_map_phys()` has mapped. */
  unmapPhys(addr: DmaAddr, size: number): void;
}

const RIGHTS: Readonly<Record<DmaDirection, number>> = {
  bidirectional: IOMMU_READ | IOMMU_WRITE,
  'to device': IOMMU_READ,
  'from device': IOMMU_WRITE,
};

/** `dma_info_to_prot()` for memory of a device, which is never cached. */
export const protOf = (dir: DmaDirection): number => RIGHTS[dir] | IOMMU_MMIO;
