/** mmap(2) of a file, and munmap(2). */
import type { AddressSpace } from './address-space.ts';
import { type Errno, isErrno } from './errno.ts';
import type { File } from './file.ts';
import type { Mm } from './mm.ts';
import { assertHeldWrite } from './rwsem.ts';
import { shouldFail, type Thread } from './thread.ts';
import { type Bytes, isAligned, isZero, PAGE_SIZE } from './units.ts';
import { type Mappable, Vma } from './vma.ts';

export interface MmapArgs {
  readonly length: Bytes;
  readonly offset: Bytes;
  /** MAP_SHARED */
  readonly shared: boolean;
  /** PROT_WRITE; unless it says so, the mapping may be written. */
  readonly write?: boolean;
}

const isMappable = (what: object): what is Mappable => 'mmap' in what;

/**
 * mmap(2): the new mapping, which may be read, wherever there is room. Its pages come when they are touched.
 * Locks: takes mmap_lock for writing, and the file's i_mmap_rwsem inside
 * Fails: EINVAL for an unaligned offset or no length; ENOMEM where there is no room; EOVERFLOW for an offset that no
 *        such file has; EACCES for a file that is not open for that; ENODEV for one that cannot be mapped; what the
 *        file answers. Nothing is left behind.
 */
export function* mmap(mm: Mm, file: File, args: MmapArgs): Thread<Vma | Errno> {
  if (!isAligned(args.offset, PAGE_SIZE) || isZero(args.length)) return 'EINVAL';
  yield mm.mmapLock.write;
  try {
    return yield* mmapRegion(mm, file, args);
  } finally {
    mm.mmapLock.releaseWrite();
  }
}

/** mmap_region(). Locks: caller holds mmap_lock for writing */
function* mmapRegion(mm: Mm, file: File, { length, offset, shared, write = true }: MmapArgs): Thread<Vma | Errno> {
  assertHeldWrite(mm.mmapLock);
  const npages = length.page + (length.byte > 0 ? 1 : 0);
  const startPage = mm.unmappedArea(npages);
  if (isErrno(startPage)) return startPage;
  const { what } = file;
  if (!isMappable(what)) return 'ENODEV';
  if (offset.page + npages >= what.endPage) return 'EOVERFLOW';
  const { readable, writable } = file.mode;
  if ((shared && write && !writable) || !readable) return 'EACCES';
  if (shouldFail('vm_area_alloc') || shouldFail('vma_iter_prealloc')) return 'ENOMEM';
  // What cannot be written through its file is no shared mapping any more, whatever the user said.
  const shown = { file, mapping: what.mapping, pgoff: offset.page, shared: shared && writable };
  const vma = new Vma(mm, startPage, npages, shown);
  file.get();
  const refused = (yield* what.mmap(vma)) ?? (mm.hasRoom(npages) ? undefined : 'ENOMEM');
  if (refused !== undefined) {
    vma.file?.put();
    return refused;
  }
  // The file may have put another in its place.
  const mapping = vma.mapping as AddressSpace;
  mm.insert(vma);
  yield mapping.iMmapRwsem.write;
  try {
    mapping.link(vma);
  } finally {
    mapping.iMmapRwsem.releaseWrite();
  }
  return vma;
}

/**
 * munmap(2) of the whole mapping that begins at a page; where nothing is mapped, there is nothing to do. The reference
 * to its file may be the last: then the file is released before the call returns.
 * Locks: takes mmap_lock for writing, and the file's i_mmap_rwsem inside
 */
export function* munmap(mm: Mm, startPage: number): Thread {
  yield mm.mmapLock.write;
  try {
    const vma = mm.find(startPage);
    if (vma !== undefined) yield* removeVma(mm, vma);
  } finally {
    mm.mmapLock.releaseWrite();
  }
}

/** exit_mmap(): the process ends, and all of its mappings with it. What is pinned stays. Locks: as munmap(2) */
export function* exitMmap(mm: Mm): Thread {
  yield mm.mmapLock.write;
  try {
    mm.exited = true;
    for (const vma of [...mm.vmas]) yield* removeVma(mm, vma);
  } finally {
    mm.mmapLock.releaseWrite();
  }
}

/** Locks: caller holds mmap_lock for writing, so that no fault brings an entry back */
function* removeVma(mm: Mm, vma: Vma): Thread {
  assertHeldWrite(mm.mmapLock);
  const { startPage, lastPage, mapping, file } = vma;
  mm.remove(vma);
  mm.pageTable.zap(startPage, lastPage);
  if (mapping !== undefined) {
    yield mapping.iMmapRwsem.write;
    try {
      mapping.unlink(vma);
    } finally {
      mapping.iMmapRwsem.releaseWrite();
    }
  }
  mm.pageTable.freeTables(startPage, lastPage);
  file?.put();
}
