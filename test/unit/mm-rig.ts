/** What the tests of mappings share: processes, a memfd, and a file of device memory with leaves of every size. */
import { auditMm } from '../../impl/audit-mm.ts';
import type { Order, UserPage } from '../../impl/kernel/cpu-page-table.ts';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import { touch } from '../../impl/kernel/fault.ts';
import { File } from '../../impl/kernel/file.ts';
import { type Backing, Memfd, Mm, Ram } from '../../impl/kernel/mm.ts';
import { type MmapArgs, mmap } from '../../impl/kernel/mmap.ts';
import { munmap } from '../../impl/kernel/munmap.ts';
import { drain, Kernel, syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import { fromBigint, u64 } from '../../impl/kernel/units.ts';
import type { Vma } from '../../impl/kernel/vma.ts';
import { DEVICE_PFN, DeviceMemory } from '../../properties/mm/world.ts';

let audits = 2 ** 40;

export class MmRig {
  readonly kernel = new Kernel();
  readonly ram = new Ram(2 ** 32, 2 ** 37);
  readonly mm = new Mm(this.ram);
  readonly mms: Mm[] = [this.mm];
  /** Files that are released. */
  readonly released: string[] = [];
  readonly device = new DeviceMemory();
  readonly deviceFile = this.file(this.device, 'device');
  readonly memfd: Memfd;
  readonly memfdFile: File;

  constructor(memfdBytes = 0x10000n) {
    const size = fromBigint(memfdBytes);
    this.memfd = new Memfd(this.ram.allocate('f', size) as Backing, size);
    this.memfdFile = this.file(this.memfd, 'f');
  }

  file(what: object, name = 'other', mode = 'rw'): File {
    const { released } = this;
    const release = function* (): Thread {
      released.push(name);
    };
    return new File(name, what, release, { readable: mode.includes('r'), writable: mode.includes('w') });
  }

  call<T>(thread: Thread<T>): T {
    const task = new Task('caller', this.kernel);
    return drain(task, () => syscall(task, () => thread));
  }

  mmap(file: File, pages: number, how: Partial<MmapArgs> & { pgoff?: number } = {}, mm: Mm = this.mm): Vma | Errno {
    const { pgoff = 0, ...more } = how;
    return this.call(mmap(mm, file, { length: u64(pages, 0), offset: u64(pgoff, 0), shared: true, ...more }));
  }

  mapped(file: File, pages: number, pgoff = 0, mm: Mm = this.mm): Vma {
    const vma = this.mmap(file, pages, { pgoff }, mm);
    if (isErrno(vma)) throw new Error(`mmap answers ${vma}`);
    return vma;
  }

  munmap(page: UserPage, pages: number, mm: Mm = this.mm): Errno | undefined {
    return this.call(munmap(mm, u64(page, 0), u64(pages, 0)));
  }

  /** Which page of its file the CPU finds at a page of the process, or the signal. */
  touch(page: UserPage, mm: Mm = this.mm): number | string {
    const found = this.call(touch(mm, page, page));
    if (typeof found !== 'number') return found;
    return found >= DEVICE_PFN ? found - DEVICE_PFN : found - this.memfd.backing.firstPfn;
  }

  /** Start, length and offset of each mapping, from `origin` on. */
  vmas(origin: UserPage, mm: Mm = this.mm): (readonly [start: number, pages: number, pgoff: number])[] {
    return mm.vmas.map(({ startPage, npages, pgoff }) => [startPage - origin, npages, pgoff]);
  }

  /** First page and order of each leaf, from `origin` on, ascending. */
  leaves(origin: UserPage, mm: Mm = this.mm): (readonly [page: number, order: Order])[] {
    const leaves = mm.pageTable.leaves().toSorted((a, b) => a.page - b.page);
    return leaves.map(({ page, order }) => [page - origin, order]);
  }

  /** Breaches, and references of the two files that mappings do not account for. */
  audit(): string[] {
    const [breaches, audit]: [string[], number] = [[], ++audits];
    for (const mm of this.mms) auditMm(mm, audit, breaches);
    for (const file of [this.deviceFile, this.memfdFile]) {
      const found = file.audit === audit ? file.found : 0;
      if (file.refs.count - 1 !== found) breaches.push(`${file.name}: ${file.refs.count - 1} held, ${found} found`);
    }
    const inTrees = this.device.mapping.vmas.length + this.memfd.mapping.vmas.length;
    const ofFiles = this.mms.flatMap(({ vmas }) => vmas.filter(({ file }) => file !== undefined)).length;
    if (inTrees !== ofFiles) breaches.push(`${inTrees} mappings in the files' trees, ${ofFiles} in processes`);
    return breaches;
  }
}
