/** `vm_area_struct`: a mapping of a process, and what stands behind it: RAM, or whatever the mapped file says. */
import type { AddressSpace, MappedVma } from './address-space.ts';
import { firstOfOrder, type Order, type UserPage } from './cpu-page-table.ts';
import type { Errno } from './errno.ts';
import type { File } from './file.ts';
import { mappingsChange } from './live.ts';
import type { Backing, Mm } from './mm.ts';
import { PAGE_SHARED, type Pgprot } from './pgprot.ts';
import { warnOn } from './splat.ts';
import type { Thread } from './thread.ts';
import type { Pfn } from './units.ts';

/** `vm_fault_t`: an entry is there now; try a smaller order; no such page; no memory for a table. */
export type VmFault = 'NOPAGE' | 'FALLBACK' | 'SIGBUS' | 'OOM';

/** `vm_flags`, without the VM_. SHARED needs a file that is open for writing, too. */
export type VmFlag = 'READ' | 'WRITE' | 'SHARED' | 'PFNMAP' | 'IO' | 'DONTEXPAND' | 'DONTDUMP' | 'ALLOW_ANY_UNCACHED';

/** `vm_operations_struct`. One object serves all parts into which a mapping is cut, so it asks the mapping given. */
export interface VmOperations {
  /** What a page of the mapping shows, if it shows anything. */
  pfnOf(vma: Vma, page: UserPage): Pfn | undefined;
  /** `huge_fault`, and `fault` for order 0: enter what the page shows. Locks: caller holds mmap_lock for reading */
  fault(vma: Vma, page: UserPage, order: Order): Thread<VmFault>;
}

/** What can be mapped of the objects behind files. */
export interface Mappable {
  /** `f_mapping`: all mappings of the file, whoever made them. */
  readonly mapping: AddressSpace;
  /** The first page number that no mapping may reach: EOVERFLOW. */
  readonly endPage: number;
  /** `f_op->mmap`: accept the mapping, and tell it what its pages are. Locks: caller holds mmap_lock for writing */
  mmap(vma: Vma): Thread<Errno | undefined>;
}

/** Which part of a file a mapping shows; nothing for anonymous memory. */
export interface Shown {
  readonly file: File;
  readonly mapping: AddressSpace;
  readonly pgoff: number;
}

const PRIVATE_MEMORY: readonly VmFlag[] = ['READ', 'WRITE'];

export class Vma {
  readonly mm: Mm;
  /** `vm_start`, and the length, in pages of the process. Written under mmap_lock, and i_mmap_rwsem when in a file. */
  startPage: UserPage;
  npages: number;
  /** `vm_file`, of which it holds a reference, and where in its address space this is. */
  file: File | undefined;
  mapping: AddressSpace | undefined;
  /** `vm_pgoff`: which page of the file the first page shows; its upper bits are the file's own affair. */
  pgoff: number;
  readonly flags: Set<VmFlag>;
  /** `vm_page_prot`: every leaf of the mapping has it. */
  pageProt: Pgprot = PAGE_SHARED;
  /** The pages behind it. Absent for a PFN map, which has none that could be pinned. */
  backing: Backing | undefined;
  ops: VmOperations = ramOps;
  /** Its place in `mapping`. Protected by i_mmap_rwsem. */
  node: MappedVma | undefined;

  constructor(mm: Mm, startPage: UserPage, npages: number, shown?: Shown, flags: Iterable<VmFlag> = PRIVATE_MEMORY) {
    this.mm = mm;
    this.startPage = startPage;
    this.npages = npages;
    this.file = shown?.file;
    this.mapping = shown?.mapping;
    this.pgoff = shown?.pgoff ?? 0;
    this.flags = new Set(flags);
  }

  /** vm_area_dup(): the same in another process, or for a part of it. It is in no tree, and holds no reference yet. */
  dup(mm: Mm): Vma {
    const { startPage, npages, file, mapping, pgoff, flags } = this;
    const copy = new Vma(mm, startPage, npages, file && mapping && { file, mapping, pgoff }, flags);
    copy.pgoff = pgoff;
    copy.pageProt = this.pageProt;
    copy.backing = this.backing;
    copy.ops = this.ops;
    return copy;
  }

  get lastPage(): UserPage {
    return this.startPage + this.npages - 1;
  }

  get shared(): boolean {
    return this.flags.has('SHARED');
  }

  /** The number of a page from the start of the file, or of the anonymous memory. */
  indexOf(page: UserPage): number {
    return this.pgoff + page - this.startPage;
  }

  /** Keep only the pages from `page` on; what the others showed stays what it was. */
  beginAt(page: UserPage): void {
    this.pgoff = this.indexOf(page);
    this.npages = this.lastPage - page + 1;
    this.startPage = page;
    mappingsChange();
  }

  /** Keep only the pages before `page`. */
  endBefore(page: UserPage): void {
    this.npages = page - this.startPage;
    mappingsChange();
  }

  /** Whether a leaf of the order fits round a page: inside the mapping, and of memory that is aligned to it. */
  holds(page: UserPage, order: Order): boolean {
    const first = firstOfOrder(page, order);
    if (first < this.startPage || first + 2 ** order - 1 > this.lastPage) return false;
    return order === 0 || (this.ops.pfnOf(this, first) as Pfn) % 2 ** order === 0;
  }

  /** vmf_insert_pfn(), _pmd() and _pud(): enter a leaf of the order round a page, where one `holds`. */
  insertPfn(page: UserPage, order: Order): VmFault {
    warnOn(!this.flags.has('PFNMAP'), 'an entry without a page in a mapping of pages');
    return this.insert(page, order);
  }

  /** The same of memory that has pages. */
  insert(page: UserPage, order: Order): VmFault {
    const first = firstOfOrder(page, order);
    const pfn = this.ops.pfnOf(this, first) as Pfn;
    return this.mm.pageTable.insert({ page: first, pfn, order, prot: this.pageProt }) ? 'NOPAGE' : 'OOM';
  }
}

/** Anonymous memory and memfds, page by page. A memfd ends where it ends, however long its mapping. */
const ramOps: VmOperations = {
  pfnOf(vma, page) {
    const index = vma.indexOf(page);
    return vma.backing !== undefined && index < vma.backing.pages ? vma.backing.firstPfn + index : undefined;
  },

  *fault(vma, page, order): Thread<VmFault> {
    if (order !== 0) return 'FALLBACK';
    return ramOps.pfnOf(vma, page) === undefined ? 'SIGBUS' : vma.insert(page, order);
  },
};
