/**
 * What the CPU maps of buffers, in the unmerged series: one kind of mapping for a buffer's descriptor and for a BAR.
 * Its pages are found range by range, and entered while the buffer is usable and its device answers.
 *
 * Source: vfio-dmabuf 6.3 to 6.6, 6.11, V-56 to V-58
 */
import { firstOfOrder, type Order, type UserPage } from '../kernel/cpu-page-table.ts';
import { warnOn } from '../kernel/splat.ts';
import { preempt, type Thread } from '../kernel/thread.ts';
import { PAGE_SIZE, type Pfn } from '../kernel/units.ts';
import type { Vma, VmFault, VmOperations } from '../kernel/vma.ts';
import { memoryEnabled, REGION_PAGES, type VfioPciDevice } from './pci-device.ts';
import type { VfioPciDmaBuf } from './pci-dmabuf.ts';
import { refusesTouch } from './pci-dmabuf-status.ts';
import { type MemAttr, setPfnMap } from './pfn-map.ts';
import { putRegistration, tryGetRegistration } from './registration.ts';

/** `vm_private_data` and `vm_ops` of a mapping of a buffer. */
class BufferOps implements VmOperations {
  readonly priv: VfioPciDmaBuf;

  constructor(priv: VfioPciDmaBuf) {
    this.priv = priv;
  }

  pfnOf(vma: Vma, page: UserPage): Pfn | undefined {
    const pfn = findPfn(this.priv, vma, page, 0);
    return typeof pfn === 'number' ? pfn : undefined;
  }

  fault(vma: Vma, page: UserPage, order: Order): Thread<VmFault> {
    return fault(this.priv, vma, page, order);
  }
}

/** The pages of the mapping are those of the buffer from now on. */
export function showBuffer(priv: VfioPciDmaBuf, vma: Vma, memattr: MemAttr): void {
  setPfnMap(vma, memattr);
  vma.ops = new BufferOps(priv);
}

/** The buffer that a mapping shows; undefined for another kind of mapping. */
export const shownBuffer = ({ ops }: Vma): VfioPciDmaBuf | undefined =>
  ops instanceof BufferOps ? ops.priv : undefined;

/**
 * The page number of the buffer that the first page of the mapping shows. That of a BAR begins where its buffer does,
 * and keeps the region and the page in the region in `vm_pgoff`; what a split adds to that is left. (The posting cuts
 * off all above 2^40 bytes for every mapping, which a buffer may well have; here only for a BAR.)
 */
const startOf = ({ vfile, vmaPgoffAdjust }: VfioPciDmaBuf, { pgoff }: Vma): number =>
  vfile === undefined ? pgoff : (pgoff - vmaPgoffAdjust) % REGION_PAGES;

/**
 * `vfio_pci_dma_buf_find_pfn()`: the first page frame of a leaf of the order round a page. The leaf lies in one range,
 * whether or not the next goes on where that ends.
 * Fails: EAGAIN where no leaf of the order fits; EFAULT where there is no page, which is no fault of the user's
 */
export function findPfn(priv: VfioPciDmaBuf, vma: Vma, page: UserPage, order: Order): Pfn | 'EAGAIN' | 'EFAULT' {
  const none = order === 0 ? 'EFAULT' : 'EAGAIN';
  const pages = 2 ** order;
  const first = firstOfOrder(page, order);
  if (first < vma.startPage || first + pages - 1 > vma.lastPage) return none;
  let at = startOf(priv, vma) + first - vma.startPage;
  for (const { paddr, len } of priv.physVec) {
    const inRange = len / PAGE_SIZE;
    if (at < inRange) {
      if (at + pages > inRange) return none;
      const pfn = paddr / PAGE_SIZE + at;
      return pfn % pages === 0 ? pfn : 'EAGAIN';
    }
    at -= inRange;
  }
  return none;
}

/**
 * The fault handler. The buffer says which device it is of, and may lose it at any time; a registration keeps the
 * device from going away until memory_lock says whether the buffer is still usable.
 * Locks: caller holds mmap_lock for reading; takes dma_resv, then memory_lock for reading, one after the other
 * Fails: SIGBUS for a buffer that is revoked, or whose device does not answer; FALLBACK where a leaf of the order does
 *        not fit; OOM
 */
function* fault(priv: VfioPciDmaBuf, vma: Vma, page: UserPage, order: Order): Thread<VmFault> {
  const device = yield* holdDevice(priv);
  if (device === undefined) return 'SIGBUS';
  yield device.memoryLock.read;
  try {
    if (refusesTouch(priv)) return 'SIGBUS';
    const pfn = findPfn(priv, vma, page, order);
    if (pfn === 'EAGAIN') return 'FALLBACK';
    warnOn(pfn === 'EFAULT', `a mapping of ${priv.dmabuf.name} has a page that the buffer has not`);
    if (device.engaged || !memoryEnabled(device)) return 'SIGBUS';
    yield preempt; // Memory for a table may have to be waited for.
    return vma.insertPfn(page, order);
  } finally {
    device.memoryLock.releaseRead();
    putRegistration(device);
  }
}

/** The device of a usable buffer, with a registration of it. Locks: takes dma_resv */
function* holdDevice(priv: VfioPciDmaBuf): Thread<VfioPciDevice | undefined> {
  const { resv, name } = priv.dmabuf;
  yield resv;
  try {
    if (refusesTouch(priv)) return undefined;
    const device = priv.vdev as VfioPciDevice;
    const held = tryGetRegistration(device);
    warnOn(!held, `the device of ${name}, which is usable, has no registration left`);
    return device;
  } finally {
    resv.release();
  }
}
