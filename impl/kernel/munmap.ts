/** munmap(2) of any range of pages, and the end of an address space. */
import { unlinkFile } from './address-space.ts';
import type { Span, UserPage } from './cpu-page-table.ts';
import { type Errno, isErrno } from './errno.ts';
import { type Mm, USER_PAGES } from './mm.ts';
import { free } from './poison.ts';
import { assertHeldWrite } from './rwsem.ts';
import { shouldFail, type Thread } from './thread.ts';
import { type Bytes, isAligned, PAGE_SIZE, pagesOf, type UserAddr } from './units.ts';
import type { Vma } from './vma.ts';

/**
 * munmap(2): nothing is mapped in the range any more, be it several mappings, parts of them, or holes. The reference to
 * a file may be the last: then the file is released before the call returns.
 * Units: address and length in bytes; the length is rounded up to whole pages
 * Locks: takes mmap_lock for writing, and keeps it for reading once nobody finds the mappings any more; the
 *        i_mmap_rwsem of each file inside
 * Fails: EINVAL for an address inside of a page, for no length, and outside of the address space; ENOMEM where a
 *        mapping cannot be cut: then every page is mapped as before, though one mapping may be in two parts
 * Source: mm/vma.c, do_vmi_align_munmap(), vms_gather_munmap_vmas(), vms_complete_munmap_vmas()
 */
export function* munmap(mm: Mm, start: UserAddr, length: Bytes): Thread<Errno | undefined> {
  const npages = pagesOf(length);
  if (!isAligned(start, PAGE_SIZE) || npages === 0 || start.page + npages > USER_PAGES) return 'EINVAL';
  const { mmapLock } = mm;
  yield mmapLock.write;
  let writing = true;
  try {
    const vmas = yield* gather(mm, start.page, start.page + npages - 1);
    if (isErrno(vmas)) return vmas;
    const room = detach(mm, vmas);
    mmapLock.downgrade();
    writing = false;
    yield* unmapRegion(mm, vmas, room);
    return undefined;
  } finally {
    if (writing) mmapLock.releaseWrite();
    else mmapLock.releaseRead();
  }
}

/** exit_mmap(): the process ends, and all of its mappings with it. What is pinned stays. Locks: as munmap(2) */
export function* exitMmap(mm: Mm): Thread {
  yield mm.mmapLock.write;
  try {
    mm.exited = true;
    const vmas = [...mm.vmas];
    yield* unmapRegion(mm, vmas, detach(mm, vmas));
  } finally {
    mm.mmapLock.releaseWrite();
  }
}

/**
 * vms_gather_munmap_vmas(): the mappings in [first, last], ascending, after those across its ends have been cut there.
 * Locks: caller holds mmap_lock for writing
 * Fails: ENOMEM; what is cut stays cut
 */
function* gather(mm: Mm, first: UserPage, last: UserPage): Thread<Vma[] | Errno> {
  const vmas = mm.overlapping(first, last);
  const [head, tail] = [vmas[0], vmas.at(-1)];
  if (head !== undefined && head.startPage < first) {
    const failed = yield* splitVma(head, first, 'below');
    if (failed !== undefined) return failed;
  }
  if (tail !== undefined && tail.lastPage > last) {
    const failed = yield* splitVma(tail, last + 1, 'above');
    if (failed !== undefined) return failed;
  }
  return vmas.some(() => shouldFail('mas_store_gfp')) ? 'ENOMEM' : vmas;
}

/**
 * `__split_vma()`: one mapping becomes two, below a page and from it on. The new one is on the given side; each holds
 * the file, and shows what it showed. A huge leaf across the cut goes: of a PFN map nothing smaller is made.
 * Locks: caller holds mmap_lock for writing; takes the file's i_mmap_rwsem
 * Fails: ENOMEM; nothing has changed
 */
function* splitVma(vma: Vma, at: UserPage, side: 'below' | 'above'): Thread<Errno | undefined> {
  const { mm, mapping } = vma;
  assertHeldWrite(mm.mmapLock);
  if (shouldFail('vm_area_dup') || shouldFail('vma_iter_prealloc')) return 'ENOMEM';
  const other = vma.dup(mm);
  other.file?.get();
  const [below, above] = side === 'below' ? [other, vma] : [vma, other];
  if (mapping !== undefined) yield mapping.iMmapRwsem.write;
  try {
    mapping?.unlink(vma);
    mm.pageTable.splitHuge(at);
    below.endBefore(at);
    above.beginAt(at);
    mapping?.link(vma);
    mapping?.link(other);
  } finally {
    mapping?.iMmapRwsem.releaseWrite();
  }
  mm.add(other);
  return undefined;
}

/**
 * From now on no fault finds the mappings. Gives the pages between their neighbours: a table that reaches beyond is
 * still needed.
 * Locks: caller holds mmap_lock for writing
 */
function detach(mm: Mm, vmas: readonly Vma[]): Span {
  assertHeldWrite(mm.mmapLock);
  for (const vma of vmas) mm.remove(vma);
  return mm.roomAround(vmas[0]?.startPage ?? 0);
}

/**
 * unmap_region() and remove_vma(): entries, then places in the files' trees, then tables, then references.
 * Locks: caller holds mmap_lock; takes the i_mmap_rwsem of each file
 */
function* unmapRegion(mm: Mm, vmas: readonly Vma[], room: Span): Thread {
  for (const { startPage, lastPage } of vmas) mm.pageTable.zap(startPage, lastPage);
  for (const vma of vmas) yield* unlinkFile(vma);
  if (vmas.length > 0) mm.pageTable.freeTables(room.first, room.last);
  for (const vma of vmas) {
    vma.file?.put();
    free(vma, 'vm_area_struct');
  }
}
