/**
 * The DMA API over an IOMMU: what a device may reach is in the page table of a domain of its own.
 *
 * Source: drivers/iommu/dma-iommu.c
 */
import { type Errno, isErrno } from '../kernel/errno.ts';
import { warnOn } from '../kernel/splat.ts';
import { shouldFail } from '../kernel/thread.ts';
import { add, bytes, type Iova, type PhysAddr, toNumber } from '../kernel/units.ts';
import { type DmaAddr, type DmaApi, type DmaDirection, type DmaIovaState, protOf } from './dma-api.ts';
import { LiveMappings } from './dma-live.ts';
import { IovaAllocator } from './iova.ts';

/** As much of a domain as the DMA API needs; lengths in bytes. */
export interface DmaDomain {
  /** Its smallest page, in bytes. */
  readonly granule: number;
  map(iova: Iova, phys: PhysAddr, length: number, prot: number): Errno | undefined;
  unmap(iova: Iova, length: number): void;
}

export interface DmaIommuConfig {
  readonly domain: DmaDomain;
  /** What the device can be given, in bytes: [first, last]. */
  readonly aperture: readonly [first: number, last: number];
  /** A device from outside of the machine: it may see no byte beside those that it is given. */
  readonly untrusted?: boolean;
}

export class DmaIommu implements DmaApi {
  readonly #domain: DmaDomain;
  readonly #untrusted: boolean;
  readonly iovas: IovaAllocator;
  readonly live = new LiveMappings();

  constructor({ domain, aperture: [first, last], untrusted = false }: DmaIommuConfig) {
    this.#domain = domain;
    this.#untrusted = untrusted;
    this.iovas = new IovaAllocator(Math.ceil(first / domain.granule), Math.floor((last + 1) / domain.granule));
  }

  iovaTryAlloc(size: number): DmaIovaState | undefined {
    if (shouldFail('dma_iova_try_alloc')) return undefined;
    const addr = this.#alloc(size);
    return addr && { addr, size, linked: 0, synced: 0 };
  }

  iovaLink(state: DmaIovaState, phys: PhysAddr, offset: number, size: number, dir: DmaDirection): Errno | undefined {
    warnOn(offset !== state.linked, `a window is linked at ${offset}, and not at its end, ${state.linked}`);
    if (shouldFail('dma_iova_link')) return 'ENOMEM';
    if (this.#bounces(phys, size)) return 'EPERM';
    const failed = this.#domain.map(add(state.addr, bytes(offset)), phys, size, protOf(dir));
    if (failed === undefined) state.linked += size;
    return failed;
  }

  iovaSync(state: DmaIovaState, offset: number, size: number): Errno | undefined {
    warnOn(offset + size !== state.linked, `a sync of ${offset + size} bytes where ${state.linked} are linked`);
    if (shouldFail('dma_iova_sync')) return 'ENOMEM';
    state.synced = offset + size;
    return undefined;
  }

  iovaUnlink(state: DmaIovaState, size: number): void {
    warnOn(size !== state.linked, `an unlink of ${size} bytes where ${state.linked} are linked`);
    this.#domain.unmap(state.addr, size);
    state.linked = 0;
  }

  iovaFree(state: DmaIovaState): void {
    warnOn(state.linked > 0, `a window is freed with ${state.linked} bytes linked`);
    this.#free(state.addr, state.size);
  }

  mapPhys(phys: PhysAddr, size: number, dir: DmaDirection): DmaAddr | Errno {
    if (shouldFail('dma_map_phys')) return 'ENOMEM';
    if (this.#bounces(phys, size)) return 'EPERM';
    const addr = this.#alloc(size);
    if (addr === undefined) return 'ENOMEM';
    const failed = this.#domain.map(addr, phys, size, protOf(dir));
    if (isErrno(failed)) {
      this.#free(addr, size);
      return failed;
    }
    this.live.add(addr, size);
    return addr;
  }

  unmapPhys(addr: DmaAddr, size: number): void {
    this.live.remove(addr, size);
    this.#domain.unmap(addr, size);
    this.#free(addr, size);
  }

  /** Whole granules would show an untrusted device more than `size` bytes. */
  #bounces(phys: PhysAddr, size: number): boolean {
    const { granule } = this.#domain;
    return this.#untrusted && (phys % granule !== 0 || size % granule !== 0);
  }

  #alloc(size: number): Iova | undefined {
    const { granule } = this.#domain;
    const at = this.iovas.alloc(Math.ceil(size / granule));
    return at === undefined ? undefined : bytes(at * granule);
  }

  #free(addr: Iova, size: number): void {
    const { granule } = this.#domain;
    this.iovas.free(toNumber(addr) / granule, Math.ceil(size / granule));
  }
}
