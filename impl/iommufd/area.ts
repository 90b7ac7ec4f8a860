/**
 * An area: one interval of IOVA, and the slice of a pages object that it shows, at byte granularity.
 *
 * Source: drivers/iommu/iommufd/io_pagetable.h, struct iopt_area
 */
import type { Domain } from '../iommu/domain.ts';
import type { Audited } from '../kernel/ghosts.ts';
import { type Half, highOf, lowOf, wholeOf } from '../kernel/halves.ts';
import { IntervalNode, IntervalTree } from '../kernel/interval-tree.ts';
import type { Listed } from '../kernel/list.ts';
import { disturb } from '../kernel/live.ts';
import {
  add,
  type Bytes,
  type Iova,
  lengthOf,
  PAGE_SIZE,
  type PageIndex,
  sub,
  type U64,
  u64,
} from '../kernel/units.ts';
import type { IoPagetable } from './io-pagetable.ts';
import type { Pages } from './pages.ts';

/** Membership of `pages.domainsItree`, by page index. */
export class StoredArea extends IntervalNode {
  readonly area: Area;

  constructor(area: Area) {
    super(u64(area.index, 0), u64(area.lastIndex, 0));
    this.area = area;
  }
}

/** Of every area that is tracked for no domain. */
export const UNTRACKED: readonly Domain[] = [];

/** It is a node of `iopt.areas`. */
export class Area extends IntervalNode implements Listed<Area>, Audited {
  readonly iopt: IoPagetable;
  /** READ and WRITE as asked for; CACHE or MMIO comes with the kind of the pages. */
  readonly prot: number;
  /** Where its slice begins, in halves, as its interval is held. */
  readonly #sliceHigh: Half;
  readonly #sliceLow: Half;
  #pages: Pages | undefined;
  #storage: Domain | undefined;
  #tracked: readonly Domain[] = UNTRACKED;
  /** Ghost: whether it is in `iopt.areas`. There it stands for a reference of its pages. */
  #entered = false;
  disturbed = 0;
  /** Membership of the tracker of its pages. */
  list: object | undefined;
  previous: Area | undefined;
  next: Area | undefined;
  /**
   * An UNMAP is waiting for accesses to let go: they get no more. Protected by iova_rwsem, as are the counts of pins by
   * accesses, and of those among them that no UNMAP may ask to let go; they change under pages->mutex.
   */
  preventAccess = false;
  numAccesses = 0;
  numLocks = 0;
  /** While `storage` is set. */
  pagesNode: StoredArea | undefined;

  constructor(iopt: IoPagetable, iova: Iova, last: Iova, prot: number, slice: U64) {
    super(iova, last);
    this.iopt = iopt;
    this.prot = prot;
    this.#sliceHigh = highOf(slice);
    this.#sliceLow = lowOf(slice);
  }

  /** The byte of the pages object that it begins with. */
  get slice(): U64 {
    return wholeOf(this.#sliceHigh, this.#sliceLow);
  }

  /** iopt_area_index(): the page of the pages object that it begins in, `pageOffset` bytes behind where that does. */
  get index(): PageIndex {
    return this.slice.page;
  }

  get pageOffset(): number {
    return this.slice.byte;
  }

  /** iopt_area_last_index() */
  get lastIndex(): PageIndex {
    return this.startByte(this.last).page;
  }

  /** Undefined in set-up and in teardown. Published under iova_rwsem W. */
  get pages(): Pages | undefined {
    return this.#pages;
  }

  set pages(pages: Pages | undefined) {
    if (this.#entered) this.#pages?.keep(-1);
    this.#pages = pages;
    if (this.#entered) pages?.keep(1);
    disturb(this);
  }

  /** The domain from which the pages' numbers can be read back. Protected by pages->mutex. */
  get storage(): Domain | undefined {
    return this.#storage;
  }

  set storage(storage: Domain | undefined) {
    this.#storage = storage;
    disturb(this);
  }

  /** Domains that map, or are about to map, this area of a dma-buf; it is in the pages' tracker while there are any. */
  get tracked(): readonly Domain[] {
    return this.#tracked;
  }

  set tracked(tracked: readonly Domain[]) {
    this.#tracked = tracked;
    disturb(this);
  }

  get entered(): boolean {
    return this.#entered;
  }

  set entered(entered: boolean) {
    if (entered !== this.#entered) this.#pages?.keep(entered ? 1 : -1);
    this.#entered = entered;
    disturb(this);
  }

  get iova(): Iova {
    return this.start;
  }

  get length(): Bytes {
    return lengthOf(this.start, this.last);
  }

  /** iopt_area_start_byte(): where `iova` falls, in bytes from the start of the pages object. */
  startByte(iova: Iova): U64 {
    return add(sub(iova, this.iova), this.slice);
  }

  /** iopt_area_iova_to_index(): the page of the pages object that backs `iova`. */
  indexOf(iova: Iova): PageIndex {
    return this.startByte(iova).page;
  }

  /** iopt_area_index_to_iova(): the first byte of the area that page `index` backs. */
  iovaOfIndex(index: PageIndex): Iova {
    if (index === this.index) return this.iova;
    return sub(add(this.iova, u64(index - this.index, 0)), u64(0, this.pageOffset));
  }

  /** iopt_area_index_to_iova_last() */
  iovaLastOfIndex(index: PageIndex): Iova {
    if (index === this.lastIndex) return this.last;
    return add(this.iovaOfIndex(index), u64(0, PAGE_SIZE - 1 - (index === this.index ? this.pageOffset : 0)));
  }
}

/** `iopt->area_itree` */
export class AreaTree extends IntervalTree<Area> {
  /** Ghost: how many have come and not gone. */
  entered = 0;

  override insert(area: Area): void {
    super.insert(area);
    area.entered = true;
    this.entered++;
  }

  override remove(area: Area): void {
    super.remove(area);
    area.entered = false;
    this.entered--;
  }
}
