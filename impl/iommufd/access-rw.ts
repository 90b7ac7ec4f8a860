/**
 * Reading and writing the memory of an IOAS by CPU.
 *
 * Source: drivers/iommu/iommufd/device.c, iommufd_access_rw(); pages.c, iopt_pages_rw_access()
 */
import type { Errno } from '../kernel/errno.ts';
import type { Backing, Mm } from '../kernel/mm.ts';
import { preempt, shouldFail, type Thread } from '../kernel/thread.ts';
import {
  add,
  type Bytes,
  bytes,
  type Iova,
  isZero,
  lastOf,
  lengthOf,
  PAGE_SIZE,
  toNumber,
  type U64,
  u64,
} from '../kernel/units.ts';
import type { Access } from './access.ts';
import { permits } from './access-pin.ts';
import { contiguous, isWhole } from './contig.ts';
import { readNext } from './fill.ts';
import type { IoPagetable } from './io-pagetable.ts';
import type { Pages, UserSource } from './pages.ts';
import { PfnReader } from './pfn-reader.ts';

export const ACCESS_RW_WRITE = 1;
/** The caller is a kernel thread, and may borrow the address space of a process. */
export const ACCESS_RW_KTHREAD = 2;
/** For tests: as if the caller were another process. */
export const ACCESS_RW_SLOW_PATH = 4;

/** How bytes are to be moved. */
interface Move {
  readonly data: Uint8Array;
  readonly flags: number;
  /** The address space that the caller runs in; a kernel thread has none. */
  readonly caller: Mm | undefined;
}

/**
 * iommufd_access_rw(): copy `data.length` bytes between `data` and the memory behind `iova`.
 * Locks: takes access.ioas_lock and iova_rwsem R; inside, mmap_lock R or pages->mutex, or neither
 * Fails: EINVAL, EOVERFLOW, ENOENT, EPERM, EFAULT, ENOMEM; what lies before the failing point is moved all the same
 */
export function* accessRw(
  access: Access,
  iova: Iova,
  data: Uint8Array,
  flags: number,
  caller: Mm | undefined,
): Thread<Errno | undefined> {
  const length = bytes(data.length);
  if (isZero(length)) return 'EINVAL';
  const last = lastOf(iova, length);
  if (last === undefined) return 'EOVERFLOW';
  yield access.ioasLock;
  try {
    if (access.ioas === undefined) return 'ENOENT';
    const { iopt } = access.ioas;
    yield iopt.iovaRwsem.read;
    try {
      return yield* moveRange(iopt, iova, last, { data, flags, caller });
    } finally {
      iopt.iovaRwsem.releaseRead();
    }
  } finally {
    access.ioasLock.release();
  }
}

function* moveRange(iopt: IoPagetable, iova: Iova, rangeLast: Iova, move: Move): Thread<Errno | undefined> {
  const slices = contiguous(iopt, iova, rangeLast);
  let done = 0;
  for (const { area, pages, first, last } of slices) {
    if (area.preventAccess) return 'EINVAL';
    if (!permits(area.prot, writes(move))) return 'EPERM';
    const length = toNumber(lengthOf(first, last));
    const data = move.data.subarray(done, done + length);
    const failed = yield* rwAccess(pages, area.startByte(first), { ...move, data });
    if (failed !== undefined) return failed;
    done += length;
  }
  return isWhole(slices, rangeLast) ? undefined : 'ENOENT';
}

const writes = ({ flags }: Move): boolean => (flags & ACCESS_RW_WRITE) !== 0;

/** iopt_pages_rw_access(): from byte `start` of the pages on. */
function* rwAccess(pages: Pages, start: Bytes, move: Move): Thread<Errno | undefined> {
  const { source } = pages;
  if (writes(move) && !pages.writable) return 'EPERM';
  if (source.kind === 'dmabuf') return 'EINVAL';
  if (source.kind === 'file') return yield* rwSlow(pages, start, move);
  const { mm } = source;
  const foreign = move.caller !== mm || (move.flags & ACCESS_RW_SLOW_PATH) !== 0;
  if (foreign && (move.flags & ACCESS_RW_KTHREAD) === 0) {
    if (start.byte + move.data.length > PAGE_SIZE) return yield* rwSlow(pages, start, move);
    return yield* rwPage(pages, source, start, move);
  }
  if (foreign && mm.exited) return yield* rwSlow(pages, start, move);
  yield preempt;
  return copyUser(mm, add(u64(source.startPage, 0), start), move);
}

/** copy_to_user() and copy_from_user(): up to the first page that is not there. Fails: EFAULT */
function copyUser(mm: Mm, address: U64, move: Move): Errno | undefined {
  const { data } = move;
  for (let done = 0; done < data.length; ) {
    const at = add(address, bytes(done));
    const ram = mm.ramAt(at.page);
    if (ram === undefined) return 'EFAULT';
    const here = Math.min(data.length - done, ram.pages * PAGE_SIZE - at.byte);
    moveBytes(ram.backing, ram.index * PAGE_SIZE + at.byte, data.subarray(done, done + here), move);
    done += here;
  }
  return undefined;
}

function moveBytes(backing: Backing, offset: number, data: Uint8Array, move: Move): void {
  if (writes(move)) backing.write(offset, data);
  else backing.read(offset, data);
}

/** iopt_pages_rw_page(): all in one page of another process. Locks: takes mmap_lock R. Fails: EINVAL, EFAULT */
function* rwPage(pages: Pages, { mm, startPage }: UserSource, start: Bytes, move: Move): Thread<Errno | undefined> {
  if (mm.exited) return yield* rwSlow(pages, start, move);
  if (shouldFail('iopt_pages_rw_page')) return 'EINVAL';
  yield mm.mmapLock.read;
  try {
    const ram = mm.ramAt(startPage + start.page);
    if (ram === undefined || shouldFail('pin_user_pages')) return 'EFAULT';
    moveBytes(ram.backing, ram.index * PAGE_SIZE + start.byte, move.data, move);
    return undefined;
  } finally {
    mm.mmapLock.releaseRead();
  }
}

/** iopt_pages_rw_slow(): pin batch by batch, and copy. Locks: takes pages->mutex. Fails: EFAULT, EINVAL, ENOMEM */
function* rwSlow(pages: Pages, start: Bytes, move: Move): Thread<Errno | undefined> {
  yield pages.mutex;
  try {
    const last = add(start, bytes(move.data.length - 1));
    const reader = new PfnReader(pages, start.page, last.page);
    for (let done = 0; ; ) {
      const failed = yield* readNext(pages, reader);
      if (failed === undefined && !reader.done) done += moveBatch(pages, reader, done, start, move);
      reader.release();
      if (failed !== undefined || reader.done) return failed;
    }
  } finally {
    pages.mutex.release();
  }
}

/** batch_rw(): the pages of the batch, as far as data goes; how many bytes that were. */
function moveBatch(pages: Pages, { batch }: PfnReader, done: number, start: Bytes, move: Move): number {
  const { data } = move;
  let moved = done;
  batch.eachRun(0, batch.total, (pfn, count) => {
    const backing = pages.ram.at(pfn) as Backing;
    const offset = moved === 0 ? start.byte : 0;
    const here = Math.min(data.length - moved, count * PAGE_SIZE - offset);
    moveBytes(backing, (pfn - backing.firstPfn) * PAGE_SIZE + offset, data.subarray(moved, moved + here), move);
    moved += here;
  });
  return moved - done;
}
