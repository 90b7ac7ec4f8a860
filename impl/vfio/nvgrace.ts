/**
 * A driver like nvgrace-gpu: its device has coherent memory beside the BARs, at host physical addresses, which it shows
 * as regions 4 and 2. It exports them, maps them by itself, and lets nobody touch them before the device is ready after
 * a reset. The variant of the driver without such memory is a plain vfio-pci device.
 *
 * Source: drivers/vfio/pci/nvgrace-gpu/main.c; vfio-dmabuf 8.4
 */
import type { PhysVec } from '../dmabuf/sg-table.ts';
import type { Order, UserPage } from '../kernel/cpu-page-table.ts';
import type { Errno } from '../kernel/errno.ts';
import { shouldFail, type Thread, type WaitPoint } from '../kernel/thread.ts';
import { addChecked, bytes, less, PAGE_SIZE, u64 } from '../kernel/units.ts';
import type { Vma, VmFault, VmOperations } from '../kernel/vma.ts';
import { pcimP2pdmaProvider } from '../pci/p2pdma.ts';
import { vfioPciCoreMmap } from './bar-mapping.ts';
import { memoryEnabled, REGION_PAGES, type VfioPciDevice } from './pci-device.ts';
import { type DmabufPhys, getDmabufPhys } from './pci-dmabuf-phys.ts';
import { type DmaRange, fillPhysVec } from './pci-dmabuf-ranges.ts';
import { setCachedPfnMap, setPfnMap } from './pfn-map.ts';

/** The fake BARs: memory that is not cached, a part carved out of it, and memory that is. */
export const RESMEM_REGION_INDEX = 2;
export const USEMEM_REGION_INDEX = 4;

/** `mem_region`: host physical memory, in bytes. */
export interface MemRegion {
  readonly phys: number;
  readonly size: number;
}

/** `nvgrace_gpu_pci_core_device`, what it has besides a vfio-pci device. */
export class NvgraceMemory {
  readonly usemem: MemRegion;
  /** Of no length where there is none. */
  readonly resmem: MemRegion;
  /** `reset_done`: nobody has asked since the last reset whether the device is ready. Protected by memory_lock. */
  resetDone = false;
  /** Ghost: what the device would say. */
  ready = true;

  constructor(usemem: MemRegion, resmem: MemRegion = { phys: 0, size: 0 }) {
    this.usemem = usemem;
    this.resmem = resmem;
  }

  /** `nvgrace_gpu_memregion()`: what is behind a fake BAR; undefined for a region that is a BAR, or nothing. */
  region(index: number): MemRegion | undefined {
    if (index === USEMEM_REGION_INDEX) return this.usemem;
    return index === RESMEM_REGION_INDEX && this.resmem.size > 0 ? this.resmem : undefined;
  }

  /** What makes a device of this driver out of one of vfio-pci. */
  get driver(): {
    readonly mmap: (device: VfioPciDevice, vma: Vma) => Thread<Errno | undefined>;
    readonly getDmabufPhys: typeof getDmabufPhys;
    readonly resetDone: () => void;
  } {
    return {
      mmap: (device, vma) => nvgraceMmap(this, device, vma),
      getDmabufPhys: (device, region, ranges) => nvgraceGetDmabufPhys(this, device, region, ranges),
      resetDone: () => {
        this.resetDone = true;
      },
    };
  }
}

/**
 * `nvgrace_get_dmabuf_phys()`: ranges of a fake BAR are ranges of its memory, wherever a real BAR of that number is.
 * For peer-to-peer DMA it belongs to BAR 0, because no BAR of its own stands behind it.
 * Fails: EINVAL without a provider, EOVERFLOW and EINVAL for ranges that leave the memory; as vfio-pci for real BARs
 */
function nvgraceGetDmabufPhys(
  memory: NvgraceMemory,
  device: VfioPciDevice,
  index: number,
  ranges: readonly DmaRange[],
): DmabufPhys | Errno {
  const region = memory.region(index);
  if (region === undefined) return getDmabufPhys(device, index, ranges);
  const provider = pcimP2pdmaProvider(device.pci, 0);
  if (provider === undefined) return 'EINVAL';
  const physVec: PhysVec[] | Errno = fillPhysVec(region, ranges);
  return typeof physVec === 'string' ? physVec : { provider, physVec };
}

/**
 * `nvgrace_gpu_mmap()`: its own, so that none of these mappings is one of a buffer.
 * Locks: caller holds mmap_lock for writing
 * Fails: EOVERFLOW, EINVAL for what is not all in the memory; as vfio-pci for real BARs
 */
function* nvgraceMmap(memory: NvgraceMemory, device: VfioPciDevice, vma: Vma): Thread<Errno | undefined> {
  const index = Math.floor(vma.pgoff / REGION_PAGES);
  const region = memory.region(index);
  if (region === undefined) return yield* vfioPciCoreMmap(device, vma);
  const outside = outOfRegion(region, vma.pgoff % REGION_PAGES, vma.npages);
  if (outside !== undefined) return outside;
  // What is not cached is at least written in bursts.
  if (index === RESMEM_REGION_INDEX) setPfnMap(vma, 'WC');
  else setCachedPfnMap(vma);
  vma.ops = opsOf(memory, region, device);
  return undefined;
}

/** The checks of a mapping of `npages` from page `pgoff` of a region on. Fails: EOVERFLOW, EINVAL */
export function outOfRegion({ phys, size }: MemRegion, pgoff: number, npages: number): Errno | undefined {
  const end = addChecked(u64(pgoff, 0), u64(npages, 0));
  if (end === undefined || addChecked(bytes(phys), u64(pgoff, 0)) === undefined) return 'EOVERFLOW';
  return less(bytes(size), end) ? 'EINVAL' : undefined;
}

function opsOf(memory: NvgraceMemory, region: MemRegion, device: VfioPciDevice): VmOperations {
  return {
    pfnOf: (vma, page) => region.phys / PAGE_SIZE + (vma.indexOf(page) % REGION_PAGES),
    fault: (vma, page, order) => fault(memory, device, vma, page, order),
  };
}

/**
 * `nvgrace_gpu_vfio_pci_huge_fault()`
 * Locks: caller holds mmap_lock for reading; takes memory_lock for reading, and waits for the device with it
 * Fails: FALLBACK where a leaf of the order does not fit; SIGBUS in low power, and for a device that does not get ready
 */
function* fault(memory: NvgraceMemory, device: VfioPciDevice, vma: Vma, page: UserPage, order: Order): Thread<VmFault> {
  if (!vma.holds(page, order)) return 'FALLBACK';
  yield device.memoryLock.read;
  try {
    if (device.engaged || !(yield* checkDeviceReady(memory, device))) return 'SIGBUS';
    return vma.insertPfn(page, order);
  } finally {
    device.memoryLock.releaseRead();
  }
}

/**
 * `nvgrace_gpu_check_device_ready()`: the first to touch the memory after a reset waits for the device. False with
 * memory off, by which it would be asked, and when it has not got ready in its time.
 * Locks: caller holds memory_lock for reading
 */
function* checkDeviceReady(memory: NvgraceMemory, device: VfioPciDevice): Thread<boolean> {
  if (!memory.resetDone) return true;
  if (!memoryEnabled(device) || shouldFail('nvgrace_gpu_wait_device_ready')) return false;
  const ready: WaitPoint = { name: `readiness of ${device.name}`, ready: () => memory.ready, enter: () => {} };
  yield ready;
  memory.resetDone = false;
  return true;
}
