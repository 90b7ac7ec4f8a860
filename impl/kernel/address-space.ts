/**
 * `address_space`, as far as mappings go: which mappings show a file, so that its owner can take pages from all of them
 * without knowing the processes.
 */
import { IntervalNode, IntervalTree } from './interval-tree.ts';
import { mappingsChange } from './live.ts';
import { assertHeldWrite, Rwsem } from './rwsem.ts';
import { preempt, type Thread } from './thread.ts';
import { u64 } from './units.ts';
import type { Vma } from './vma.ts';

/** Membership of a file's `i_mmap`. */
export class MappedVma extends IntervalNode {
  readonly vma: Vma;

  constructor(vma: Vma) {
    super(u64(vma.pgoff, 0), u64(vma.indexOf(vma.lastPage), 0));
    this.vma = vma;
  }
}

export class AddressSpace {
  /** Protects who is in it. */
  readonly iMmapRwsem: Rwsem;
  /** Ghost: the audit that looked last. */
  audit = 0;
  /** `i_mmap`, by the pages of the file. */
  readonly #iMmap = new IntervalTree<MappedVma>();

  constructor(name: string) {
    this.iMmapRwsem = new Rwsem(`${name}.i_mmap_rwsem`, 'i_mmap_rwsem');
  }

  /** It goes with the file. */
  destroy(): void {
    this.iMmapRwsem.destroy();
  }

  /** vma_interval_tree_insert(): behind all that begin at its page. Locks: caller holds i_mmap_rwsem for writing */
  link(vma: Vma): void {
    assertHeldWrite(this.iMmapRwsem);
    vma.node = new MappedVma(vma);
    this.#iMmap.insert(vma.node);
    mappingsChange();
  }

  /** vma_interval_tree_remove(). Locks: caller holds i_mmap_rwsem for writing */
  unlink(vma: Vma): void {
    assertHeldWrite(this.iMmapRwsem);
    this.#iMmap.remove(vma.node as MappedVma);
    vma.node = undefined;
    mappingsChange();
  }

  /** The mappings that show a page of [first, last] of the file. */
  showing(first: number, last: number): Vma[] {
    return this.#iMmap.overlapping(u64(first, 0), u64(last, 0)).map(({ vma }) => vma);
  }

  get empty(): boolean {
    return this.#iMmap.size === 0;
  }

  get vmas(): readonly Vma[] {
    return this.#iMmap.all().map(({ vma }) => vma);
  }
}

/** vma_link_file(). Locks: takes the file's i_mmap_rwsem */
export function* linkFile(vma: Vma): Thread {
  const { mapping } = vma;
  if (mapping === undefined) return;
  yield mapping.iMmapRwsem.write;
  try {
    mapping.link(vma);
  } finally {
    mapping.iMmapRwsem.releaseWrite();
  }
}

/** unlink_file_vma(). Locks: takes the file's i_mmap_rwsem */
export function* unlinkFile(vma: Vma): Thread {
  const { mapping } = vma;
  if (mapping === undefined) return;
  yield mapping.iMmapRwsem.write;
  try {
    mapping.unlink(vma);
  } finally {
    mapping.iMmapRwsem.releaseWrite();
  }
}

/**
 * `unmap_mapping_range()`: no process has an entry any more for the pages [first, last] of the file; the next touch
 * faults. It takes no mmap_lock, so a fault must be kept out by a lock of the file's owner.
 * Locks: takes i_mmap_rwsem for reading
 */
export function* unmapMappingRange(mapping: AddressSpace, first: number, last: number): Thread {
  yield mapping.iMmapRwsem.read;
  try {
    for (const [i, { mm, startPage, pgoff, lastPage }] of mapping.showing(first, last).entries()) {
      if (i > 0) yield preempt; // The page tables have locks of their own, each for a moment.
      const from = startPage + Math.max(first - pgoff, 0);
      mm.pageTable.zap(from, Math.min(startPage + last - pgoff, lastPage));
    }
  } finally {
    mapping.iMmapRwsem.releaseRead();
  }
}
