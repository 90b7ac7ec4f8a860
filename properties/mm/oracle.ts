/**
 * The page-array oracle: for each process, which page of which file every page shows, one by one, and which leaves
 * there are. It knows no mappings: a mapping is a run of pages, because nothing is ever mapped next to another.
 */

/** Page `index` of the file. */
export interface Shown {
  readonly file: string;
  readonly index: number;
}

/** 2 MiB, where the memory has huge leaves. */
export const HUGE = 512;

export interface OracleLeaf {
  readonly page: number;
  readonly pages: number;
}

/** A run of pages that show a run of pages of a file. */
export interface Run extends OracleLeaf {
  readonly file: string;
  readonly pgoff: number;
}

export class PageArray {
  /** Ascending, because later mappings lie above. */
  readonly pages: Map<number, Shown>;
  leaves: OracleLeaf[];

  constructor(pages: Iterable<readonly [number, Shown]> = [], leaves: readonly OracleLeaf[] = []) {
    this.pages = new Map(pages);
    this.leaves = [...leaves];
  }

  map(first: number, count: number, file: string, pgoff: number): void {
    for (let i = 0; i < count; i++) this.pages.set(first + i, { file, index: pgoff + i });
  }

  unmap(first: number, count: number): void {
    for (let page = first; page < first + count; page++) this.pages.delete(page);
    this.leaves = this.leaves.filter((leaf) => leaf.page + leaf.pages <= first || first + count <= leaf.page);
  }

  /** What a read finds; a page that can be huge becomes so. */
  touch(page: number, end: (file: string) => number, huge: (file: string) => boolean): Shown | 'SIGBUS' | 'SIGSEGV' {
    const shown = this.pages.get(page);
    if (shown === undefined) return 'SIGSEGV';
    if (shown.index >= end(shown.file)) return 'SIGBUS';
    if (this.leaves.some((leaf) => leaf.page <= page && page < leaf.page + leaf.pages)) return shown;
    const first = page - (page % HUGE);
    const whole = huge(shown.file) && this.#isHuge(first, shown.file);
    this.leaves.push(whole ? { page: first, pages: HUGE } : { page, pages: 1 });
    return shown;
  }

  /** Whether all pages from `first` on show neighbours, the first of them a multiple. */
  #isHuge(first: number, file: string): boolean {
    const index = this.pages.get(first)?.index ?? 1;
    if (index % HUGE !== 0) return false;
    for (let i = 0; i < HUGE; i++) {
      const shown = this.pages.get(first + i);
      if (shown?.file !== file || shown.index !== index + i) return false;
    }
    return true;
  }

  /** Nobody sees these pages of the file any more, before he touches them again. */
  zap(file: string, first: number, last: number): void {
    this.leaves = this.leaves.filter(({ page, pages }) => {
      const shown = this.pages.get(page);
      return shown?.file !== file || shown.index > last || shown.index + pages - 1 < first;
    });
  }

  /** A child, which has the leaves of files with huge ones: those of the others a fault would bring back. */
  fork(copied: (file: string) => boolean): PageArray {
    return new PageArray(
      this.pages,
      this.leaves.filter(({ page }) => copied(this.pages.get(page)?.file ?? '')),
    );
  }

  runs(): Run[] {
    const found: Run[] = [];
    let run: { page: number; pages: number; file: string; pgoff: number } | undefined;
    for (const [page, { file, index }] of this.pages) {
      if (run !== undefined && page === run.page + run.pages) {
        run.pages++;
        continue;
      }
      run = { page, pages: 1, file, pgoff: index };
      found.push(run);
    }
    return found;
  }
}
