/** The format of page tables: how many levels they have, and on which of them the leaves of each page size lie. */

/** Of one table. */
export const ENTRIES = 512;

/** One page size: `granules`, held in 2^order entries of a table of that level. */
export interface LeafSize {
  readonly granules: number;
  readonly level: number;
  readonly order: number;
}

/** What all tables of one IOMMU have in common. */
export class PageTableFormat {
  /** Granules that one entry of each level covers. */
  readonly span: readonly number[];
  /** Largest first. */
  readonly leafSizes: readonly LeafSize[];

  /** `granules` is how many a table must cover; `leafGranules` are the page sizes in granules, ascending. */
  constructor(granules: number, leafGranules: readonly number[]) {
    const span = [1];
    while ((span.at(-1) as number) * ENTRIES < granules) span.push((span.at(-1) as number) * ENTRIES);
    this.span = span;
    this.leafSizes = leafGranules.map((size) => leafSizeOf(span, size)).reverse();
  }
}

function leafSizeOf(span: readonly number[], granules: number): LeafSize {
  const level = span.findLastIndex((size) => size <= granules);
  return { granules, level, order: Math.log2(granules / (span[level] as number)) };
}
