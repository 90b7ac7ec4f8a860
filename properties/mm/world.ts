/** Processes and two files, alone on a kernel: device memory with huge leaves, and a memfd. */
import { auditMm } from '../../impl/audit-mm.ts';
import { AddressSpace } from '../../impl/kernel/address-space.ts';
import type { Order, UserPage } from '../../impl/kernel/cpu-page-table.ts';
import { File } from '../../impl/kernel/file.ts';
import { type Backing, Memfd, Mm, Ram } from '../../impl/kernel/mm.ts';
import { pgprotDecrypted, pgprotNoncached } from '../../impl/kernel/pgprot.ts';
import { drain, Kernel, preempt, syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import { u64 } from '../../impl/kernel/units.ts';
import type { Mappable, Vma, VmFault, VmOperations } from '../../impl/kernel/vma.ts';

/** Where device memory begins: a page number that every order divides. */
export const DEVICE_PFN = 2 ** 26;

/** A file of device memory: page `n` of it is DEVICE_PFN + n. */
export class DeviceMemory implements Mappable {
  readonly mapping = new AddressSpace('device');
  readonly endPage = 2 ** 52;
  readonly #ops: VmOperations = {
    pfnOf: (vma, page) => DEVICE_PFN + vma.indexOf(page),
    fault: (vma, page, order) => this.#fault(vma, page, order),
  };

  *mmap(vma: Vma): Thread<undefined> {
    vma.flags.add('PFNMAP');
    vma.pageProt = pgprotDecrypted(pgprotNoncached(vma.pageProt));
    vma.ops = this.#ops;
    return undefined;
  }

  *#fault(vma: Vma, page: UserPage, order: Order): Thread<VmFault> {
    if (!vma.holds(page, order)) return 'FALLBACK';
    yield preempt;
    return vma.insertPfn(page, order);
  }
}

/** How many pages the memfd has. */
export const MEMFD_PAGES = 12;

let audits = 2 ** 41;

export class MmWorld {
  readonly #kernel = new Kernel();
  readonly #ram = new Ram(2 ** 32, 2 ** 37);
  readonly mms: Mm[] = [new Mm(this.#ram)];
  readonly device = new DeviceMemory();
  readonly memfd: Memfd;
  readonly files: ReadonlyMap<string, { readonly file: File; readonly mapping: AddressSpace }>;

  constructor() {
    const size = u64(MEMFD_PAGES, 0);
    this.memfd = new Memfd(this.#ram.allocate('memfd', size) as Backing, size);
    const open = (name: string, what: Mappable) =>
      [name, { file: new File(name, what, nothing), mapping: what.mapping }] as const;
    this.files = new Map([open('device', this.device), open('memfd', this.memfd)]);
  }

  call<T>(thread: Thread<T>): T {
    const task = new Task('caller', this.#kernel);
    return drain(task, () => syscall(task, () => thread));
  }

  /** Which page of a file a page of physical memory is. */
  nameOf(pfn: number): string {
    return pfn >= DEVICE_PFN ? `device ${pfn - DEVICE_PFN}` : `memfd ${pfn - this.memfd.backing.firstPfn}`;
  }

  /** What the audit says, and references and places in trees that mappings do not account for. */
  breaches(): string[] {
    const [found, audit]: [string[], number] = [[], ++audits];
    for (const mm of this.mms) auditMm(mm, audit, found);
    for (const [name, { file, mapping }] of this.files) {
      const held = file.audit === audit ? file.found : 0;
      if (file.refs.count !== held + 1) found.push(`${name} counts ${file.refs.count}, for ${held} mappings`);
      if (mapping.vmas.length !== held) found.push(`${name} knows of ${mapping.vmas.length} of ${held} mappings`);
    }
    return found;
  }
}

function* nothing(): Thread {}
