/**
 * What accesses hold of a pages object: intervals of pages, and the number of every page in one. Such a page stays
 * pinned whether or not a domain maps it.
 *
 * Locks: pages->mutex
 * Source: drivers/iommu/iommufd/io_pagetable.h, struct iopt_pages_access; struct iopt_pages, access_itree, pinned_pfns
 */
import { IntervalNode, IntervalTree } from '../kernel/interval-tree.ts';
import { accessPins } from '../kernel/live.ts';
import { type PageIndex, type Pfn, u64 } from '../kernel/units.ts';
import type { Area } from './area.ts';
import type { Pages } from './pages.ts';

/** Pages [first, last], held as often as `users` says. */
export class PagesAccess extends IntervalNode {
  readonly firstIndex: PageIndex;
  readonly lastIndex: PageIndex;
  users = 1;

  constructor(first: PageIndex, last: PageIndex) {
    super(u64(first, 0), u64(last, 0));
    this.firstIndex = first;
    this.lastIndex = last;
  }
}

export class PagesAccesses {
  readonly itree = new IntervalTree<PagesAccess>();
  /** The page number of each page in an interval of `itree`, and of no other. */
  readonly pinnedPfns = new Map<PageIndex, Pfn>();

  constructor() {
    accessPins();
  }

  /** iopt_pages_get_exact_access(): the interval [first, last], and none that only contains it. */
  exact(first: PageIndex, last: PageIndex): PagesAccess | undefined {
    const all = this.itree.overlapping(u64(first, 0), u64(last, 0));
    return all.find((access) => access.firstIndex === first && access.lastIndex === last);
  }

  get empty(): boolean {
    return this.itree.size === 0 && this.pinnedPfns.size === 0;
  }
}

/** Pages of which the same can be said: an access holds them, else the area of a domain does, else nobody. */
export type Span =
  | { readonly by: 'access' | 'nobody'; readonly last: PageIndex }
  | { readonly by: 'domain'; readonly area: Area; readonly last: PageIndex };

/** The span that page `index` is in, up to `last` at most. Source: double_span.h */
export function spanAt(pages: Pages, index: PageIndex, last: PageIndex): Span {
  let end = last;
  const access = pages.accesses?.itree.first(u64(index, 0), u64(last, 0));
  if (access !== undefined) {
    if (access.firstIndex <= index) return { by: 'access', last: Math.min(access.lastIndex, last) };
    end = access.firstIndex - 1;
  }
  const area = pages.domainsItree.first(u64(index, 0), u64(end, 0))?.area;
  if (area === undefined) return { by: 'nobody', last: end };
  if (area.index <= index) return { by: 'domain', area, last: Math.min(area.lastIndex, end) };
  return { by: 'nobody', last: area.index - 1 };
}
