/**
 * A pages object: the memory behind areas, from user memory, a file, or a dma-buf. All areas that COPY made from one
 * another share one.
 *
 * Locks: `mutex` protects `domainsItree`, every area's `storage`, `npinned`, `ncharged`, what the exporter of a dma-buf
 * said, its tracker, and every map and unmap of a dma-buf's area.
 * Source: drivers/iommu/iommufd/pages.c, struct iopt_pages
 */
import type { Attachment } from '../dmabuf/attachment.ts';
import type { DmaBuf } from '../dmabuf/dma-buf.ts';
import type { PhysVec } from '../dmabuf/sg-table.ts';
import type { File } from '../kernel/file.ts';
import { IntervalTree } from '../kernel/interval-tree.ts';
import { Kref } from '../kernel/kref.ts';
import { List } from '../kernel/list.ts';
import { chargesChange, Live } from '../kernel/live.ts';
import type { Memfd, Mm, Ram } from '../kernel/mm.ts';
import { Mutex } from '../kernel/mutex.ts';
import { add, addChecked, type Bytes, compact, type PageIndex, type PhysAddr, type U64, u64 } from '../kernel/units.ts';
import type { Account } from './accounting.ts';
import type { Area, StoredArea } from './area.ts';
import type { PagesAccesses } from './pages-accesses.ts';

/** Memory of the process that mapped it; byte 0 is the start of the page `startPage`. */
export interface UserSource {
  readonly kind: 'user';
  readonly mm: Mm;
  readonly startPage: number;
}

/** A memfd, or any other file: `memfd` is missing for what can never be pinned. */
export interface FileSource {
  readonly kind: 'file';
  readonly file: File;
  readonly memfd: Memfd | undefined;
  readonly startPage: number;
  /** The last byte of the file that the mapping shows. */
  readonly last: U64;
}

const NOWHERE: PhysVec = { paddr: 0, len: 0 };

/** A piece of a device's memory that its exporter may take back. Its tracker is embedded. */
export class DmabufSource extends List<Area> {
  readonly kind = 'dmabuf';
  readonly dmabuf: DmaBuf;
  /** Set once, before anybody else can see the pages. */
  attachment!: Attachment;
  /** Whether the exporter was asked, and agreed, not to move the buffer. */
  pinned = false;
  /** What the exporter said, which is one for all whom it tells. Protected by pages->mutex, as is `len`. */
  phys: PhysVec = NOWHERE;
  /** The same of its length; 0 is revoked, for ever, and `phys` means nothing then. */
  len = 0;
  /** Where page 0 lies in the buffer, in pages. */
  readonly startPage: number;

  constructor(dmabuf: DmaBuf, startPage: number) {
    super();
    this.dmabuf = dmabuf;
    this.startPage = compact(startPage);
  }

  get paddr(): PhysAddr {
    return this.phys.paddr;
  }

  /** The areas that some domain maps, or is about to; which ones, each says in `tracked`. Protected by pages->mutex. */
  get tracker(): List<Area> {
    return this;
  }
}

export type Source = UserSource | FileSource | DmabufSource;

export class Pages extends Live {
  readonly source: Source;
  readonly npages: number;
  /** Made with WRITEABLE; no copy may have more. */
  readonly writable: boolean;
  /** One for each area, and for a MAP, COPY or UNMAP that is about to make or has just removed one. */
  readonly kref = new Kref('iopt_pages', this);
  readonly mutex: Mutex;
  /** The areas that some domain holds, by page index. */
  readonly domainsItree = new IntervalTree<StoredArea>();
  #npinned = 0;
  #ncharged = 0;
  /** What accesses hold; made when the first pins. Protected by `mutex`. */
  accesses: PagesAccesses | undefined;
  /** Who pays for them; nobody for a dma-buf, of which nothing is pinned. */
  account: Account | undefined;
  /** Where its pinned pages lie. */
  readonly ram: Ram;

  constructor(source: Source, npages: number, writable: boolean, ram: Ram, account?: Account) {
    super('pages');
    this.source = source;
    this.ram = ram;
    this.npages = compact(npages);
    this.writable = writable;
    this.account = account;
    const dmabuf = source.kind === 'dmabuf';
    this.mutex = new Mutex('pages->mutex', dmabuf ? 'pages.mutex/dmabuf' : 'pages.mutex', this);
    this.file?.keep(1);
  }

  /** Pages pinned now. */
  get npinned(): number {
    return this.#npinned;
  }

  set npinned(npinned: number) {
    this.#npinned = npinned;
    chargesChange();
  }

  /** How many of them have been charged; all, between operations. */
  get ncharged(): number {
    return this.#ncharged;
  }

  set ncharged(ncharged: number) {
    this.#ncharged = ncharged;
    chargesChange();
  }

  /** What holds the memory, for as long as this lives. */
  get file(): File | undefined {
    const { source } = this;
    if (source.kind === 'dmabuf') return source.dmabuf.file;
    return source.kind === 'file' ? source.file : undefined;
  }

  override gone(): void {
    super.gone();
    this.file?.keep(-1);
    if (this.#npinned + this.#ncharged > 0) chargesChange();
  }

  get references(): number {
    return this.kref.count;
  }

  get label(): string {
    return `${this.source.kind} pages`;
  }

  /** What automatic placement looks at for byte `offset` of the pages: an address, or an offset in a file. */
  addressOf(offset: U64): U64 {
    return add(u64(this.source.startPage, 0), offset);
  }
}

/** How many pages a slice that begins `offset` bytes into its first page takes; undefined when too many to count. */
export function pageCount(offset: number, length: Bytes): PageIndex | undefined {
  const end = addChecked(length, u64(0, offset));
  if (end === undefined) return undefined;
  return end.page + (end.byte > 0 ? 1 : 0);
}
