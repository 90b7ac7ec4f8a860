/** The dma-buf core: a file that stands for memory of an exporter, and the importers that are attached to it. */

import type { DmaDirection } from '../iommu/dma-api.ts';
import { AddressSpace } from '../kernel/address-space.ts';
import type { Errno } from '../kernel/errno.ts';
import { type FdTable, File, type FileMode } from '../kernel/file.ts';
import { List } from '../kernel/list.ts';
import { disturb, Live } from '../kernel/live.ts';
import { assertHeld } from '../kernel/mutex.ts';
import { free } from '../kernel/poison.ts';
import { warnOn } from '../kernel/splat.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import { PAGE_SIZE } from '../kernel/units.ts';
import type { Mappable, Vma } from '../kernel/vma.ts';
import type { Attachment } from './attachment.ts';
import { Resv } from './resv.ts';
import type { SgTable } from './sg-table.ts';

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;

/**
 * `dma_buf_ops`: the exporter.
 * Locks: pin, unpin, map, unmap and vmap are called with dma_resv held; attach, detach, mmap and release without.
 */
export interface DmaBufOps {
  attach?(dmabuf: DmaBuf, attachment: Attachment): Errno | undefined;
  detach?(dmabuf: DmaBuf, attachment: Attachment): void;
  pin?(attachment: Attachment): Errno | undefined;
  unpin?(attachment: Attachment): void;
  mapDmaBuf(attachment: Attachment, dir: DmaDirection): SgTable | Errno;
  unmapDmaBuf(attachment: Attachment, table: SgTable): void;
  /** Locks: caller holds mmap_lock for writing */
  mmap?(dmabuf: DmaBuf, vma: Vma): Thread<Errno | undefined>;
  /** The kernel's own mapping, for its CPU. */
  vmap?(dmabuf: DmaBuf): object | Errno;
  release(dmabuf: DmaBuf): Thread;
}

/** `dma_buf`. All but the attachments is constant. */
export class DmaBuf implements Mappable {
  readonly name: string;
  /** What the user sees in /proc as `/dmabuf:` and this. Protected by name_lock. */
  shownName = '';
  /** In bytes, a multiple of the page size. */
  readonly size: number;
  readonly file: File;
  readonly resv: Resv;
  readonly mapping: AddressSpace;
  /** Its inode has no type, and so no limit but that of offsets. */
  readonly endPage = 2 ** 52;
  readonly ops: DmaBufOps;
  /** The exporter's own object. */
  readonly priv: unknown;
  /** Oldest first. Protected by resv. */
  readonly #attachments = new List<Attachment>();

  constructor(name: string, size: number, ops: DmaBufOps, priv: unknown, openFlags: number) {
    this.name = name;
    this.size = size;
    this.ops = ops;
    this.priv = priv;
    this.resv = new Resv(`${name}.resv`);
    this.mapping = new AddressSpace(name);
    this.file = new File(name, this, () => dmaBufRelease(this), modeOf(openFlags));
  }

  /** `dma_buf_mmap_internal()`. Fails: EINVAL where the exporter has no such op, and beyond the size; as it does */
  *mmap(vma: Vma): Thread<Errno | undefined> {
    if (this.ops.mmap === undefined || vma.pgoff + vma.npages > this.size / PAGE_SIZE) return 'EINVAL';
    return yield* this.ops.mmap(this, vma);
  }

  /** Newest first, as the exporter meets them. */
  get attachments(): readonly Attachment[] {
    return [...this.#attachments].reverse();
  }

  get attached(): number {
    return this.#attachments.size;
  }

  isAttached(attachment: Attachment): boolean {
    return this.#attachments.has(attachment);
  }

  /** Locks: caller holds resv */
  link(attachment: Attachment): void {
    assertHeld(this.resv);
    this.#attachments.add(attachment);
    disturb(this.file);
  }

  /** False when it was not there. Locks: caller holds resv */
  unlink(attachment: Attachment): boolean {
    assertHeld(this.resv);
    disturb(this.file);
    const importer = attachment.importerPriv;
    if (importer instanceof Live) disturb(importer);
    const linked = this.isAttached(attachment);
    this.#attachments.delete(attachment);
    return linked;
  }
}

/**
 * `dma_buf_export()`: a new buffer, which the caller holds by one file reference. Of `openFlags` only the access mode
 * matters: it says what mappings of the file may do.
 * Fails: ENOMEM
 */
export function dmaBufExport(
  name: string,
  size: number,
  ops: DmaBufOps,
  priv: unknown,
  openFlags: number = O_RDWR,
): DmaBuf | Errno {
  warnOn(
    (ops.pin === undefined) !== (ops.unpin === undefined),
    () => `${name}: exporter with only one of pin and unpin`,
  );
  if (shouldFail('dma_buf_getfile')) return 'ENOMEM';
  if (shouldFail('dma_buf_export')) return 'ENOMEM';
  return new DmaBuf(name, size, ops, priv, openFlags);
}

/** `OPEN_FMODE()`: read-only, write-only, both, and for the fourth value of the two bits neither. */
function modeOf(openFlags: number): FileMode {
  const mode = ((openFlags % 4) + 1) % 4;
  return { readable: mode % 2 === 1, writable: mode >= 2 };
}

/** The buffer behind a file, if there is one: `is_dma_buf_file()`. */
export function dmaBufOf(file: File): DmaBuf | undefined {
  return file.what instanceof DmaBuf ? file.what : undefined;
}

/**
 * `dma_buf_fd()`: install a descriptor, which takes over the caller's reference on success only. From then on another
 * thread may close it, so the caller must not touch the buffer.
 * Fails: EMFILE
 */
export function dmaBufFd(dmabuf: DmaBuf, fds: FdTable): number | Errno {
  return fds.install(dmabuf.file);
}

/**
 * `dma_buf_get()`: the buffer behind a descriptor, with a file reference.
 * Fails: EBADF without a file, EINVAL for one that is no buffer
 */
export function dmaBufGet(fds: FdTable, fd: number): DmaBuf | Errno {
  const file = fds.lookup(fd);
  if (file === undefined) return 'EBADF';
  const dmabuf = dmaBufOf(file);
  if (dmabuf === undefined) return 'EINVAL';
  file.get();
  return dmabuf;
}

/** `dma_buf_put()`: drop a file reference; the last one defers the release. */
export function dmaBufPut(dmabuf: DmaBuf): void {
  dmabuf.file.put();
}

/**
 * `dma_buf_release()`: the last reference is gone. The exporter goes first, then the reservation lock.
 * Locks: as the exporter's release needs
 * Fails: a Splat when an importer is still attached, because its detach will come too late
 */
function* dmaBufRelease(dmabuf: DmaBuf): Thread {
  yield* dmabuf.ops.release(dmabuf);
  warnOn(dmabuf.attached > 0, () => `${dmabuf.name} released with ${dmabuf.attached} attachments`);
  free(dmabuf, 'dma_buf', dmabuf.resv, dmabuf.mapping);
}

/**
 * `dma_buf_vmap()`: memory of the buffer as the kernel's CPU reaches it.
 * Locks: caller holds dma_resv
 * Fails: EINVAL where the exporter has no such op; as the exporter does
 */
export function dmaBufVmap(dmabuf: DmaBuf): object | Errno {
  assertHeld(dmabuf.resv);
  return dmabuf.ops.vmap?.(dmabuf) ?? 'EINVAL';
}
