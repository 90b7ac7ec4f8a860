/**
 * fork(2): a child with copies of all mappings and descriptors of its parent.
 *
 * Source: kernel/fork.c, copy_process(), dup_mmap(); mm/memory.c, copy_page_range()
 */
import { linkFile } from './address-space.ts';
import { type Errno, isErrno } from './errno.ts';
import type { FdTable } from './file.ts';
import type { Mm } from './mm.ts';
import { exitMmap } from './munmap.ts';
import { Process } from './process.ts';
import { assertHeldWrite } from './rwsem.ts';
import { preempt, shouldFail, type Thread } from './thread.ts';
import type { Vma } from './vma.ts';

export interface Forked {
  readonly process: Process;
  readonly fds: FdTable;
}

/**
 * `copy_process()`: the child may do what its parent may, and is charged for nothing.
 * Locks: as forkMm()
 * Fails: ENOMEM; there is no child, and nobody holds anything for one
 */
export function* fork(parent: Process, name: string, descriptors: FdTable): Thread<Forked | Errno> {
  const fds = descriptors.copy();
  if (isErrno(fds)) return fds;
  const mm = yield* forkMm(parent.mm);
  if (isErrno(mm)) {
    fds.closeAll();
    return mm;
  }
  const process = new Process(name, mm, parent.user);
  process.rlimitMemlock = parent.rlimitMemlock;
  process.capIpcLock = parent.capIpcLock;
  process.capSysResource = parent.capSysResource;
  return { process, fds };
}

/**
 * `dup_mm()`
 * Locks: takes mmap_lock of the parent and then that of the child for writing, and inside the i_mmap_rwsem of each file
 * Fails: ENOMEM; what was copied is unmapped again
 */
export function* forkMm(parent: Mm): Thread<Mm | Errno> {
  if (shouldFail('mm_alloc')) return 'ENOMEM';
  const child = parent.sibling();
  const failed = yield* dupMmap(child, parent);
  if (failed === undefined) return child;
  yield* exitMmap(child);
  return failed;
}

/** dup_mmap() */
function* dupMmap(child: Mm, parent: Mm): Thread<Errno | undefined> {
  yield parent.mmapLock.write;
  try {
    yield child.mmapLock.writeAs('mmap_lock/nested');
    try {
      return yield* dupVmas(child, parent);
    } finally {
      child.mmapLock.releaseWrite();
    }
  } finally {
    parent.mmapLock.releaseWrite();
  }
}

function* dupVmas(child: Mm, parent: Mm): Thread<Errno | undefined> {
  if (shouldFail('__mt_dup')) return 'ENOMEM';
  for (const vma of parent.vmas) {
    if (shouldFail('vm_area_dup')) return 'ENOMEM';
    const copy = vma.dup(child);
    copy.file?.get();
    child.add(copy);
    // Behind the parent's, and before its entries are copied: so a zap of the file misses none.
    yield* linkFile(copy);
    const failed = yield* copyPageRange(copy, vma);
    if (failed !== undefined) return failed;
  }
  return undefined;
}

/**
 * `copy_page_range()`: what a fault would bring back as well is not copied; a PFN map is, huge leaves and all. An entry
 * may be zapped at any time, and is then no entry of the child's either.
 * Locks: caller holds mmap_lock of both for writing
 * Fails: ENOMEM when a table cannot be had
 */
function* copyPageRange(copy: Vma, { mm, startPage, lastPage, flags }: Vma): Thread<Errno | undefined> {
  assertHeldWrite(mm.mmapLock);
  assertHeldWrite(copy.mm.mmapLock);
  if (!flags.has('PFNMAP')) return undefined;
  for (const leaf of mm.pageTable.leaves(startPage, lastPage)) {
    yield preempt;
    if (!mm.pageTable.has(leaf)) continue;
    if (!copy.mm.pageTable.insert(leaf)) return 'ENOMEM';
  }
  return undefined;
}
