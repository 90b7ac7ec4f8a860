/**
 * CPU mappings of BARs through the device file: accepted whether or not the function answers, filled page by page as
 * they are touched while it does, and emptied before it no longer does.
 *
 * Source: drivers/vfio/pci/vfio_pci_core.c, vfio_pci_core_mmap(), vfio_pci_mmap_huge_fault(), vfio_pci_zap_bars();
 *         vfio-dmabuf 6.1, 6.2, 6.9
 */
import { unmapMappingRange } from '../kernel/address-space.ts';
import type { Order, UserPage } from '../kernel/cpu-page-table.ts';
import type { Errno } from '../kernel/errno.ts';
import { assertHeldWrite } from '../kernel/rwsem.ts';
import { current, preempt, type Thread } from '../kernel/thread.ts';
import { type Bytes, PAGE_SIZE, u64 } from '../kernel/units.ts';
import type { Vma, VmFault, VmOperations } from '../kernel/vma.ts';
import type { BarResource } from '../pci/topology.ts';
import { memoryEnabled, REGION_PAGES, VFIO_PCI_ROM_REGION_INDEX, type VfioPciDevice } from './pci-device.ts';
import { mapAsBuffer } from './pci-dmabuf.ts';
import { setPfnMap } from './pfn-map.ts';

/** ROM, configuration space and VGA come after the BARs. */
const VFIO_PCI_NUM_REGIONS = 9;

/** VFIO_DEVICE_GET_REGION_INFO: where a region begins in the device file. Fails: EINVAL */
export function* regionOffset(index: number): Thread<Bytes | Errno> {
  return index < VFIO_PCI_NUM_REGIONS ? u64(index * REGION_PAGES, 0) : 'EINVAL';
}

/**
 * `vfio_pci_core_mmap()`: whether the function would answer now is not asked. In the unmerged series the mapping is one
 * of a buffer made for it (vfio-dmabuf 6.4), whose locks and errors come after the checks.
 * Locks: caller holds mmap_lock for writing
 * Fails: EINVAL for what is no mappable BAR, for more than the BAR has, for a private mapping; then what became of the
 *        claim of the BAR
 */
export function* vfioPciCoreMmap(device: VfioPciDevice, vma: Vma): Thread<Errno | undefined> {
  const index = Math.floor(vma.pgoff / REGION_PAGES);
  if (index >= VFIO_PCI_NUM_REGIONS || !vma.shared || index >= VFIO_PCI_ROM_REGION_INDEX) return 'EINVAL';
  const bar = device.bars.get(index);
  if (bar === undefined || !isMappable(bar)) return 'EINVAL';
  if ((vma.pgoff % REGION_PAGES) + vma.npages > Math.ceil(bar.size / PAGE_SIZE)) return 'EINVAL';
  if (device.barErr[index] !== undefined) return device.barErr[index];
  if (current().kernel.features.mapsBuffers) return yield* mapAsBuffer(device, index, vma);
  setPfnMap(vma, 'NC');
  vma.ops = barOps(device, bar);
  return undefined;
}

/** `vfio_pci_mmap_ops`: pages of a BAR, by the device file. */
export function barOps(device: VfioPciDevice, bar: BarResource): VmOperations {
  const firstPfn = bar.phys / PAGE_SIZE;
  return {
    pfnOf: (vma, page) => firstPfn + (vma.indexOf(page) % REGION_PAGES),
    fault: (vma, page, order) => fault(device, vma, page, order),
  };
}

/** `bar_mmap_supported`: a memory BAR that shares no page with anything else. */
const isMappable = ({ size, phys, io = false }: BarResource): boolean =>
  !io && size > 0 && (size >= PAGE_SIZE || phys % PAGE_SIZE === 0);

/**
 * `vfio_pci_mmap_huge_fault()`
 * Locks: caller holds mmap_lock for reading; takes memory_lock for reading
 * Fails: FALLBACK where a leaf of the order does not fit; SIGBUS while the function does not answer, or low power is
 *        entered; OOM
 */
function* fault(device: VfioPciDevice, vma: Vma, page: UserPage, order: Order): Thread<VmFault> {
  if (!vma.holds(page, order)) return 'FALLBACK';
  yield device.memoryLock.read;
  try {
    if (device.engaged || !memoryEnabled(device)) return 'SIGBUS';
    yield preempt; // Memory for a table may have to be waited for, and a hot reset asks who has the lock meanwhile.
    return vma.insertPfn(page, order);
  } finally {
    device.memoryLock.releaseRead();
  }
}

/**
 * `vfio_pci_zap_bars()`: no CPU reaches the BARs through the device file any more, until it faults again.
 * Locks: caller holds memory_lock for writing; takes i_mmap_rwsem for reading
 */
export function* zapBars(device: VfioPciDevice): Thread {
  assertHeldWrite(device.memoryLock);
  yield* unmapMappingRange(device.mapping, 0, VFIO_PCI_ROM_REGION_INDEX * REGION_PAGES - 1);
}
