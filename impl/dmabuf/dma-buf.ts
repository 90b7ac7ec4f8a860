/** The dma-buf core: a file that stands for memory of an exporter, and the importers that are attached to it. */
import { AddressSpace } from '../kernel/address-space.ts';
import type { Errno } from '../kernel/errno.ts';
import { type FdTable, File } from '../kernel/file.ts';
import { assertHeld } from '../kernel/mutex.ts';
import { warnOn } from '../kernel/splat.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import type { Mappable } from '../kernel/vma.ts';
import type { Attachment } from './attachment.ts';
import { Resv } from './resv.ts';
import type { SgTable } from './sg-table.ts';

/**
 * `dma_buf_ops`: the exporter.
 * Locks: pin, unpin, map and unmap are called with dma_resv held; attach, detach and release without.
 */
export interface DmaBufOps {
  attach?(dmabuf: DmaBuf, attachment: Attachment): Errno | undefined;
  detach?(dmabuf: DmaBuf, attachment: Attachment): void;
  pin?(attachment: Attachment): Errno | undefined;
  unpin?(attachment: Attachment): void;
  mapDmaBuf(attachment: Attachment): SgTable | Errno;
  unmapDmaBuf(attachment: Attachment, table: SgTable): void;
  release(dmabuf: DmaBuf): Thread;
}

/** `dma_buf`. All but the attachments is constant. */
export class DmaBuf implements Mappable {
  readonly name: string;
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
  /** Oldest first, so that leaving costs the same however many there are. Protected by resv. */
  readonly #attachments = new Set<Attachment>();

  constructor(name: string, size: number, ops: DmaBufOps, priv: unknown) {
    this.name = name;
    this.size = size;
    this.ops = ops;
    this.priv = priv;
    this.resv = new Resv(`${name}.resv`);
    this.mapping = new AddressSpace(name);
    this.file = new File(name, this, () => dmaBufRelease(this));
  }

  /** `dma_buf_mmap_internal()`: no exporter lets the CPU map its buffers. */
  mmap(): Errno {
    return 'EINVAL';
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
  }

  /** False when it was not there. Locks: caller holds resv */
  unlink(attachment: Attachment): boolean {
    assertHeld(this.resv);
    return this.#attachments.delete(attachment);
  }
}

/**
 * `dma_buf_export()`: a new buffer, which the caller holds by one file reference.
 * Fails: ENOMEM
 */
export function dmaBufExport(name: string, size: number, ops: DmaBufOps, priv: unknown): DmaBuf | Errno {
  warnOn((ops.pin === undefined) !== (ops.unpin === undefined), `${name}: exporter with only one of pin and unpin`);
  if (shouldFail('dma_buf_getfile')) return 'ENOMEM';
  if (shouldFail('dma_buf_export')) return 'ENOMEM';
  return new DmaBuf(name, size, ops, priv);
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
  dmabuf.resv.destroy();
  warnOn(dmabuf.attached > 0, `${dmabuf.name} released with ${dmabuf.attached} attachments`);
}
