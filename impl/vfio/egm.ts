/**
 * EGM: a character device for a stretch of host memory that the kernel has set aside for a guest. A mapping of it is
 * filled at once, by page numbers. There is no dma-buf and no revoke, and no VFIO device has anything to do with it.
 *
 * Source: vfio-dmabuf 8.4
 */
import { AddressSpace } from '../kernel/address-space.ts';
import type { Errno } from '../kernel/errno.ts';
import { File } from '../kernel/file.ts';
import { Splat } from '../kernel/splat.ts';
import type { Thread } from '../kernel/thread.ts';
import { PAGE_SIZE } from '../kernel/units.ts';
import type { Mappable, Vma, VmFault, VmOperations } from '../kernel/vma.ts';
import { type MemRegion, outOfRegion } from './nvgrace.ts';
import { setCachedPfnMap } from './pfn-map.ts';

/** The first version asks for no bounds, and remembers the region for its first opener alone. */
export type EgmVersion = 'first' | 'later';

/** The character device. */
export class Egm {
  readonly region: MemRegion;
  readonly version: EgmVersion;
  #opened = false;

  constructor(region: MemRegion, version: EgmVersion = 'later') {
    this.region = region;
    this.version = version;
  }

  /** open(2) */
  open(): File {
    const first = !this.#opened;
    this.#opened = true;
    const region = first || this.version === 'later' ? this.region : undefined;
    return new File('egm', new EgmFile(this, region), function* (): Thread {});
  }
}

/** An open file; `region` is its private data. */
class EgmFile implements Mappable {
  readonly mapping = new AddressSpace('egm');
  /** A character device has no size of its own. */
  readonly endPage = 2 ** 52;
  readonly #egm: Egm;
  readonly #region: MemRegion | undefined;

  constructor(egm: Egm, region: MemRegion | undefined) {
    this.#egm = egm;
    this.#region = region;
  }

  /**
   * Every page at once, so that no fault ever asks anybody.
   * Fails: EOVERFLOW, EINVAL for what is not all in the memory, EINVAL for a private mapping; ENOMEM; a Splat where the
   *        first version follows the NULL that its second opener has
   */
  *mmap(vma: Vma): Thread<Errno | undefined> {
    const region = this.#region;
    if (region === undefined) throw new Splat('use after free', 'a second opener of egm has no private data');
    if (this.#egm.version === 'later') {
      const outside = outOfRegion(region, vma.pgoff, vma.npages);
      if (outside !== undefined || !vma.shared) return outside ?? 'EINVAL';
    }
    setCachedPfnMap(vma);
    vma.ops = remapped(region.phys / PAGE_SIZE);
    return remapPfnRange(vma);
  }
}

/** A page that is not there can only be one that was cut off. */
const remapped = (firstPfn: number): VmOperations => ({
  pfnOf: (vma, page) => firstPfn + vma.indexOf(page),
  *fault(): Thread<VmFault> {
    return 'SIGBUS';
  },
});

/** `remap_pfn_range()`. Fails: ENOMEM for want of a table; what is there already goes with the mapping */
function remapPfnRange(vma: Vma): Errno | undefined {
  for (let page = vma.startPage; page <= vma.lastPage; page++) {
    if (vma.insertPfn(page, 0) === 'OOM') return 'ENOMEM';
  }
  return undefined;
}
