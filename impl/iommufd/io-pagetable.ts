/**
 * The I/O page table of an IOAS, in software: which areas there are, what is reserved, and which domains carry them.
 * What a domain really maps is filled in by `fill.ts`.
 *
 * Locks: `domainsRwsem` protects `domains`, and is held for reading by whoever fills or unfills. `iovaRwsem` protects
 * the trees, `alignment`, and the publication of an area's pages.
 * Source: drivers/iommu/iommufd/io_pagetable.c, struct io_pagetable
 */
import type { Domain } from '../iommu/domain.ts';
import type { Errno } from '../kernel/errno.ts';
import { IntervalNode, IntervalTree } from '../kernel/interval-tree.ts';
import { assertHeldAny, assertHeldWrite, Rwsem } from '../kernel/rwsem.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import { atMost, type Iova, isAligned, next, PAGE_SIZE, previous, U64_MAX, ZERO } from '../kernel/units.ts';
import type { Access } from './access.ts';
import { AreaTree } from './area.ts';

/** An interval that nobody may map, and on whose account. Reservations may overlap. */
export class Reserved extends IntervalNode {
  readonly owner: object;

  constructor(start: Iova, last: Iova, owner: object) {
    super(start, last);
    this.owner = owner;
  }
}

/** An interval from which automatic placement may choose. */
export class Allowed extends IntervalNode {}

/** What the areas of an IOAS must keep to. The lists of trees are others once something has come or gone. */
interface Audited {
  readonly domains: readonly Domain[];
  readonly reserved: readonly Reserved[];
  readonly allowed: readonly Allowed[];
  readonly alignment: number;
}

export class IoPagetable {
  readonly domainsRwsem = new Rwsem('domains_rwsem', 'domains_rwsem');
  readonly iovaRwsem = new Rwsem('iova_rwsem', 'iova_rwsem');
  readonly areas = new AreaTree();
  readonly reserved = new IntervalTree<Reserved>();
  /** If not empty, automatic IOVAs come from here alone. Disjoint, and disjoint from what is reserved. */
  allowed = new IntervalTree<Allowed>();
  /** Slot 0 is the storage domain of new areas. */
  readonly domains: Domain[] = [];
  /** Who is told of an UNMAP, and what they ask of the alignment. Changed under both locks. */
  readonly accesses = new Set<Access>();
  /** A power of two; every area's IOVA, length and offset in its first page are multiples of it. */
  alignment = 1;
  /** Map page by page. */
  disableLargePages = false;
  /** Ghost: what it was at the last audit. */
  audited: Partial<Audited> = {};

  /** iopt_reserve_iova(). Locks: iova_rwsem W. Fails: EADDRINUSE over an area or an allowed range, ENOMEM */
  reserve(start: Iova, last: Iova, owner: object): Errno | undefined {
    assertHeldWrite(this.iovaRwsem);
    if (this.areas.first(start, last) !== undefined || this.allowed.first(start, last) !== undefined)
      return 'EADDRINUSE';
    if (shouldFail('iopt_reserve_iova')) return 'ENOMEM';
    this.reserved.insert(new Reserved(start, last, owner));
    return undefined;
  }

  /** iopt_remove_reserved_iova(): drop all that `owner` reserved. Locks: iova_rwsem W */
  unreserve(owner: object): void {
    assertHeldWrite(this.iovaRwsem);
    for (const reserved of this.reserved.all()) {
      if (reserved.owner === owner) this.reserved.remove(reserved);
    }
  }

  /** The alignment that the option, the domains and the accesses ask for. Source: iopt_calculate_iova_alignment() */
  alignmentWith(domains: readonly Domain[]): number {
    let align = this.disableLargePages ? PAGE_SIZE : 1;
    for (const { granule } of domains) align = Math.max(align, granule);
    for (const { alignment } of this.accesses) align = Math.max(align, alignment);
    return align;
  }

  /** Whether every area, even one in set-up, would satisfy `alignment`. Locks: iova_rwsem */
  allAligned(alignment: number): boolean {
    assertHeldAny(this.iovaRwsem);
    return this.areas
      .all()
      .every(
        (area) =>
          isAligned(area.iova, alignment) && isAligned(area.length, alignment) && area.pageOffset % alignment === 0,
      );
  }

  /**
   * iopt_calculate_iova_alignment(): take on the alignment that is asked for now.
   * Locks: domains_rwsem W, iova_rwsem W
   * Fails: EADDRINUSE when it grows, and some area violates it; then it stays
   */
  calculateAlignment(): Errno | undefined {
    assertHeldWrite(this.domainsRwsem);
    const alignment = this.alignmentWith(this.domains);
    if (alignment > this.alignment && !this.allAligned(alignment)) return 'EADDRINUSE';
    this.alignment = alignment;
    return undefined;
  }

  /**
   * iopt_set_allow_iova(): replace what automatic placement may use. Areas are not asked, and stay where they are.
   * Locks: takes iova_rwsem W
   * Fails: EADDRINUSE over a reservation; then what was allowed stays so
   */
  *setAllowed(allowed: IntervalTree<Allowed>): Thread<Errno | undefined> {
    yield this.iovaRwsem.write;
    try {
      for (const { start, last } of this.reserved.all()) {
        if (allowed.first(start, last) !== undefined) return 'EADDRINUSE';
      }
      this.allowed = allowed;
      return undefined;
    } finally {
      this.iovaRwsem.releaseWrite();
    }
  }

  /** IOMMU_IOAS_IOVA_RANGES: what no reservation covers, ascending, and the alignment. */
  *iovaRanges(): Thread<{ ranges: readonly (readonly [Iova, Iova])[]; alignment: number }> {
    yield this.iovaRwsem.read;
    try {
      return { ranges: this.#unreserved(), alignment: this.alignment };
    } finally {
      this.iovaRwsem.releaseRead();
    }
  }

  #unreserved(): (readonly [Iova, Iova])[] {
    const ranges: (readonly [Iova, Iova])[] = [];
    let free: Iova | undefined = ZERO;
    for (const { start, last } of this.reserved.all()) {
      if (free === undefined) return ranges;
      if (atMost(start, free)) {
        if (atMost(free, last)) free = next(last);
      } else {
        ranges.push([free, previous(start)]);
        free = next(last);
      }
    }
    if (free !== undefined) ranges.push([free, U64_MAX]);
    return ranges;
  }
}
