/** Accesses of the CPU to memory of a process, and the page faults that they take. */
import { ORDERS, type UserPage } from './cpu-page-table.ts';
import type { Mm } from './mm.ts';
import { assertHeldAny } from './rwsem.ts';
import { Splat } from './splat.ts';
import { preempt, type Thread } from './thread.ts';
import type { Pfn } from './units.ts';
import type { Vma, VmFault } from './vma.ts';

/** What a process gets for an access that reaches nothing. */
export type Signal = 'SIGBUS' | 'SIGSEGV';

/**
 * Read bytes in one page, or across the border to the next: where the first page lies, or the signal that the process
 * gets. The walk takes no lock, so an entry that a fault has made may be gone again before the access comes round.
 */
export function* touch(mm: Mm, first: UserPage, last: UserPage): Thread<Pfn | Signal> {
  for (;;) {
    yield preempt;
    const pfn = mm.pageTable.translate(first);
    const missing = pfn === undefined ? first : last;
    if (pfn !== undefined && mm.pageTable.translate(last) !== undefined) return pfn;
    const signal = yield* handleMmFault(mm, missing);
    if (signal !== undefined) return signal;
  }
}

/**
 * `handle_mm_fault()`: have an entry made for a page, the largest that fits where there is none yet. When memory for a
 * table cannot be had the process tries again.
 * Locks: takes mmap_lock for reading
 */
export function* handleMmFault(mm: Mm, page: UserPage): Thread<Signal | undefined> {
  yield mm.mmapLock.read;
  try {
    const vma = mm.find(page);
    if (vma === undefined || !isReadable(vma)) return 'SIGSEGV';
    return (yield* faultLocked(vma, page)) === 'SIGBUS' ? 'SIGBUS' : undefined;
  } finally {
    mm.mmapLock.releaseRead();
  }
}

/** The same for a caller that knows the mapping, and is told what came of it. Locks: caller holds mmap_lock */
export function* faultLocked(vma: Vma, page: UserPage): Thread<Exclude<VmFault, 'FALLBACK'>> {
  const { mmapLock, pageTable } = vma.mm;
  assertHeldAny(mmapLock);
  for (const order of ORDERS) {
    if (order !== 0 && !pageTable.isNone(page, order)) continue;
    const answer = yield* vma.ops.fault(vma, page, order);
    if (answer !== 'FALLBACK') return answer;
  }
  throw new Splat('WARN', 'a fault of a single page falls back');
}

/** access_error() of a read: only PROT_NONE keeps it out. */
const isReadable = ({ flags }: Vma): boolean => flags.has('READ') || flags.has('WRITE');
