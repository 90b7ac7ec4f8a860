/** mmap(2) of a file. */
import { linkFile } from './address-space.ts';
import { type Errno, isErrno } from './errno.ts';
import type { File } from './file.ts';
import type { Mm } from './mm.ts';
import { free } from './poison.ts';
import { assertHeldWrite } from './rwsem.ts';
import { shouldFail, type Thread } from './thread.ts';
import { type Bytes, isAligned, isZero, PAGE_SIZE, pagesOf } from './units.ts';
import { type Mappable, Vma, type VmFlag } from './vma.ts';

export interface MmapArgs {
  readonly length: Bytes;
  readonly offset: Bytes;
  /** MAP_SHARED; otherwise MAP_PRIVATE. */
  readonly shared: boolean;
  /** PROT_READ and PROT_WRITE, unless it says otherwise. */
  readonly read?: boolean;
  readonly write?: boolean;
}

const isMappable = (what: object): what is Mappable => 'mmap' in what;

/** Where no file says otherwise, an offset may be all that an offset can be. */
const END_OF_OFFSETS = 2 ** 52;

/**
 * mmap(2): the new mapping, wherever there is room. Its pages come when they are touched.
 * Locks: takes mmap_lock for writing, and the file's i_mmap_rwsem inside
 * Fails: EINVAL for an unaligned offset or no length; ENOMEM where there is no room; EOVERFLOW for an offset that no
 *        such file has; EACCES for what the file was not opened for; ENODEV for a file that cannot be mapped; what the
 *        file answers. Nothing is left behind.
 * Source: mm/mmap.c, do_mmap(); vfio-dmabuf 4.6
 */
export function* mmap(mm: Mm, file: File, args: MmapArgs): Thread<Vma | Errno> {
  if (!isAligned(args.offset, PAGE_SIZE) || isZero(args.length)) return 'EINVAL';
  yield mm.mmapLock.write;
  try {
    return yield* doMmap(mm, file, args);
  } finally {
    mm.mmapLock.releaseWrite();
  }
}

/** do_mmap(). Locks: caller holds mmap_lock for writing */
function* doMmap(mm: Mm, file: File, args: MmapArgs): Thread<Vma | Errno> {
  const npages = pagesOf(args.length);
  const startPage = mm.unmappedArea(npages);
  if (isErrno(startPage)) return startPage;
  const { what } = file;
  const endPage = isMappable(what) ? what.endPage : END_OF_OFFSETS;
  if (args.offset.page + npages >= endPage) return 'EOVERFLOW';
  const flags = vmFlags(file, args);
  if (isErrno(flags)) return flags;
  if (!isMappable(what)) return 'ENODEV';
  const shown = { file, mapping: what.mapping, pgoff: args.offset.page };
  return yield* mmapRegion(mm, new Vma(mm, startPage, npages, shown, flags), what);
}

/** What the mapping may do. A file that is not open for writing is never really shared. Fails: EACCES */
function vmFlags({ mode }: File, { shared, read = true, write = true }: MmapArgs): VmFlag[] | Errno {
  const { readable, writable } = mode;
  if ((shared && write && !writable) || !readable) return 'EACCES';
  const flags: VmFlag[] = [];
  if (read) flags.push('READ');
  if (write) flags.push('WRITE');
  if (shared && writable) flags.push('SHARED');
  return flags;
}

/** mmap_region(). The file may put another in its place. Locks: caller holds mmap_lock for writing */
function* mmapRegion(mm: Mm, vma: Vma, what: Mappable): Thread<Vma | Errno> {
  assertHeldWrite(mm.mmapLock);
  if (shouldFail('vm_area_alloc') || shouldFail('vma_iter_prealloc')) return 'ENOMEM';
  vma.file?.get();
  const refused = (yield* what.mmap(vma)) ?? (mm.hasRoom(vma.npages) ? undefined : 'ENOMEM');
  if (refused !== undefined) {
    vma.file?.put();
    // The file may have filled some of it already.
    const { first, last } = mm.roomAround(vma.startPage);
    mm.pageTable.zap(vma.startPage, vma.lastPage);
    mm.pageTable.freeTables(first, last);
    free(vma, 'vm_area_struct');
    return refused;
  }
  mm.insert(vma);
  yield* linkFile(vma);
  return vma;
}
