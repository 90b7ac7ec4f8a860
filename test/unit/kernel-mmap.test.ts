/** Mappings of files in a process: mmap, munmap, and the page faults of those who touch them. */
import { describe, expect, test } from 'vitest';
import { unmapMappingRange } from '../../impl/kernel/address-space.ts';
import type { Order } from '../../impl/kernel/cpu-page-table.ts';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import { handleMmFault, touch } from '../../impl/kernel/fault.ts';
import { File } from '../../impl/kernel/file.ts';
import { type Backing, Memfd, Mm, Ram, USER_PAGES } from '../../impl/kernel/mm.ts';
import { mmap } from '../../impl/kernel/mmap.ts';
import { munmap } from '../../impl/kernel/munmap.ts';
import { drain, Kernel, syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import { fromBigint, u64 } from '../../impl/kernel/units.ts';
import type { Vma, VmFault } from '../../impl/kernel/vma.ts';
import { splatOf, sweep } from './kernel-rig.ts';

const MAX = 2n ** 64n;

/** A process, and a memfd of three pages less one byte. */
class Rig {
  readonly kernel = new Kernel();
  readonly ram = new Ram(2 ** 32, 2 ** 37);
  readonly mm = new Mm(this.ram);
  readonly backing = this.ram.allocate('f', fromBigint(0x2fffn)) as Backing;
  readonly memfd = new Memfd(this.backing, fromBigint(0x2fffn));
  released = false;
  readonly file: File;

  constructor() {
    this.file = this.#file(this.memfd);
  }

  #file(what: object): File {
    const rig = this;
    return new File('f', what, function* (): Thread {
      rig.released = true;
    });
  }

  call<T>(thread: Thread<T>): T {
    const task = new Task('caller', this.kernel);
    return drain(task, () => syscall(task, () => thread));
  }

  mmap(length: bigint, offset = 0n, what: object = this.memfd): Vma | Errno {
    const file = what === this.memfd ? this.file : this.#file(what);
    return this.call(mmap(this.mm, file, { length: fromBigint(length), offset: fromBigint(offset), shared: true }));
  }

  mapped(length: bigint, offset = 0n): Vma {
    const vma = this.mmap(length, offset);
    if (isErrno(vma)) throw new Error(`mmap answers ${vma}`);
    return vma;
  }

  munmap({ startPage, npages }: Vma): void {
    expect(this.call(munmap(this.mm, u64(startPage, 0), u64(npages, 0)))).toBe(undefined);
  }

  /** Which page of the memfd the CPU finds in page `page` of the mapping. */
  touch(vma: Vma, page: number): number | string {
    const at = vma.startPage + page;
    const found = this.call(touch(this.mm, at, at));
    return typeof found === 'number' ? found - this.backing.firstPfn : found;
  }

  get leaves(): number {
    return this.mm.pageTable.leaves().length;
  }
}

describe('mmap', () => {
  test.each<[what: string, length: bigint, offset: bigint, answer: Errno]>([
    ['EINVAL for an unaligned offset', 0x1000n, 0x800n, 'EINVAL'],
    ['EINVAL for no length', 0n, 0x1000n, 'EINVAL'],
    ['EINVAL for no length, where no file goes so far', 0n, MAX - 0x1000n, 'EINVAL'],
    ['ENOMEM for more than the address space has', 2n ** 47n, 0n, 'ENOMEM'],
    ['ENOMEM for more than the address space has, where no file goes so far', MAX - 1n, MAX - 0x1000n, 'ENOMEM'],
    ['EOVERFLOW past the end of all files', 0x1000n, MAX - 0x1000n, 'EOVERFLOW'],
    ['EOVERFLOW up to the end of all files', 0x1000n, 2n ** 63n - 0x1000n, 'EOVERFLOW'],
  ])('is %s, and nothing is mapped', (_, length, offset, answer) => {
    const rig = new Rig();
    expect(rig.mmap(length, offset)).toBe(answer);
    expect([rig.mm.vmas, rig.memfd.mapping.vmas, rig.file.refs.count]).toEqual([[], [], 1]);
  });

  test('is ENODEV for a file that has none, after ENOMEM and EOVERFLOW', () => {
    const rig = new Rig();
    expect(rig.mmap(0x1000n, 0n, {})).toBe('ENODEV');
    expect([rig.mmap(2n ** 47n, 0n, {}), rig.mmap(0x1000n, MAX - 0x1000n, {})]).toEqual(['ENOMEM', 'EOVERFLOW']);
  });

  test('fails without a trace at each of its allocations', () => {
    const rig = new Rig();
    const sites = sweep(
      rig.kernel,
      () => rig.mmap(0x1000n),
      (answer) => expect([answer, rig.mm.vmas, rig.file.refs.count]).toEqual(['ENOMEM', [], 1]),
    );
    expect(sites).toEqual(['vm_area_alloc', 'vma_iter_prealloc']);
    expect(rig.mm.vmas).toHaveLength(1);
  });

  test('holds the file, which goes with the last mapping of it', () => {
    const rig = new Rig();
    const [a, b] = [rig.mapped(0x1000n), rig.mapped(0x2000n, 0x1000n)];
    expect([rig.file.refs.count, rig.memfd.mapping.vmas]).toEqual([3, [a, b]]);
    rig.call(
      (function* (): Thread {
        rig.file.put();
      })(),
    );
    rig.munmap(a);
    expect([rig.released, rig.memfd.mapping.vmas]).toEqual([false, [b]]);
    rig.munmap(b);
    expect([rig.released, rig.memfd.mapping.vmas, rig.mm.vmas]).toEqual([true, [], []]);
  });

  test('gives each mapping an address of its own, even after a munmap', () => {
    const rig = new Rig();
    const starts = [0, 1, 2].map(() => {
      const vma = rig.mapped(0x1000n);
      rig.munmap(vma);
      return vma.startPage;
    });
    expect(new Set(starts).size).toBe(3);
  });
});

describe('munmap', () => {
  test('of nothing does nothing', () => {
    const rig = new Rig();
    const vma = rig.mapped(0x1000n);
    expect(rig.call(munmap(rig.mm, u64(vma.startPage + 1, 0), u64(5, 0)))).toBe(undefined);
    expect(rig.mm.vmas).toEqual([vma]);
  });

  test('removes the entries of the mapping, with the tables that only it needed, and no others', () => {
    const rig = new Rig();
    const [a, b] = [rig.mapped(0x2000n), rig.mapped(0x1000n)];
    for (const [vma, page] of [
      [a, 0],
      [a, 1],
      [b, 0],
    ] as const)
      rig.touch(vma, page);
    expect([rig.leaves, rig.mm.pageTable.tables.length]).toEqual([3, 3]);
    rig.munmap(a);
    expect([rig.leaves, rig.mm.pageTable.tables.length, rig.touch(a, 0), rig.touch(b, 0)]).toEqual([
      1,
      2,
      'SIGSEGV',
      0,
    ]);
    rig.munmap(b);
    expect([rig.leaves, rig.mm.pageTable.tables.length]).toEqual([0, 0]);
  });

  test('of anonymous memory leaves nothing to touch', () => {
    const rig = new Rig();
    rig.mm.mapAnonymous('m', fromBigint(0x1000n));
    const [vma] = rig.mm.vmas as [Vma];
    const pfn = rig.call(touch(rig.mm, vma.startPage, vma.startPage));
    expect(pfn).toBe(vma.backing?.firstPfn);
    rig.munmap(vma);
    expect([rig.touch(vma, 0), rig.leaves]).toEqual(['SIGSEGV', 0]);
  });
});

describe('a touch', () => {
  test('finds the page of the file that the mapping shows there, and enters one page', () => {
    const rig = new Rig();
    const vma = rig.mapped(0x2000n, 0x1000n);
    expect([rig.touch(vma, 1), rig.touch(vma, 0), rig.touch(vma, 1), rig.leaves]).toEqual([2, 1, 2, 2]);
  });

  test('is SIGBUS behind the last page of the file, and SIGSEGV behind the mapping', () => {
    const rig = new Rig();
    const vma = rig.mapped(0x5000n);
    expect([2, 3, 4, 5, -1].map((page) => rig.touch(vma, page))).toEqual([2, 'SIGBUS', 'SIGBUS', 'SIGSEGV', 'SIGSEGV']);
    expect(rig.leaves).toBe(1);
  });

  test('across two pages gets what the first cannot, then what the second cannot', () => {
    const rig = new Rig();
    const { startPage } = rig.mapped(0x4000n);
    const across = (page: number): unknown => rig.call(touch(rig.mm, startPage + page, startPage + page + 1));
    expect([across(-1), across(0), across(2), across(3)]).toEqual([
      'SIGSEGV',
      rig.backing.firstPfn,
      'SIGBUS',
      'SIGBUS',
    ]);
    expect(rig.leaves).toBe(3);
  });

  test('comes round again when a table cannot be had, whichever it is', () => {
    const rig = new Rig();
    const vma = rig.mapped(0x1000n);
    const sites = sweep(
      rig.kernel,
      () => rig.touch(vma, 0),
      (found) => {
        expect(found).toBe(0);
        rig.mm.pageTable.zap(0, USER_PAGES);
        rig.mm.pageTable.freeTables(0, USER_PAGES);
      },
    );
    expect(sites).toEqual(['pte_alloc', 'pte_alloc']);
  });

  test('splats when a single page falls back, because there is nothing smaller', () => {
    const rig = new Rig();
    const vma = rig.mapped(0x1000n);
    const orders: Order[] = [];
    vma.ops = {
      pfnOf: () => 0,
      *fault(_vma, _page, order): Thread<VmFault> {
        orders.push(order);
        return 'FALLBACK';
      },
    };
    expect(splatOf(() => rig.touch(vma, 0))).toBe('WARN: a fault of a single page falls back');
    expect(orders).toEqual([18, 9, 0]);
  });
});

test('unmap_mapping_range takes the pages of a file from every mapping that shows them, and no others', () => {
  const rig = new Rig();
  const [a, b, c] = [rig.mapped(0x3000n), rig.mapped(0x2000n, 0x1000n), rig.mapped(0x1000n)];
  for (const vma of [a, b, c]) for (let page = 0; page < vma.npages; page++) rig.touch(vma, page);
  const present = (): boolean[][] =>
    [a, b, c].map((vma) =>
      [0, 1, 2].slice(0, vma.npages).map((page) => rig.mm.pageTable.translate(vma.startPage + page) !== undefined),
    );
  rig.call(unmapMappingRange(rig.memfd.mapping, 1, 1));
  expect(present()).toEqual([[true, false, true], [false, true], [true]]);
  rig.call(unmapMappingRange(rig.memfd.mapping, 2, 9));
  expect(present()).toEqual([[true, false, false], [false, false], [true]]);
  expect(rig.touch(a, 2)).toBe(2);
});

test('a fault outside of all mappings takes mmap_lock and nothing else', () => {
  const rig = new Rig();
  expect(rig.call(handleMmFault(rig.mm, 1))).toBe('SIGSEGV');
  expect(rig.mm.mmapLock.locked).toBe(false);
});
