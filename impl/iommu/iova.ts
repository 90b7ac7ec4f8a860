/**
 * `iova_domain`: which IOVAs of a device are taken. The highest that fit are given first, aligned to the next power of
 * two, and never address 0. In granules of the page table, as plain numbers.
 */
import { Splat } from '../kernel/splat.ts';

/** [start, start + length) */
interface Taken {
  readonly start: number;
  readonly length: number;
}

export class IovaAllocator {
  /** Descending. */
  readonly #taken: Taken[] = [];
  readonly #first: number;
  readonly #end: number;

  /** Gives out of [first, end). */
  constructor(first: number, end: number) {
    this.#first = Math.max(first, 1);
    this.#end = end;
  }

  /** What is taken, for observers. */
  get taken(): readonly Taken[] {
    return this.#taken;
  }

  /** `alloc_iova()`: where `length` granules are free; undefined where none are. */
  alloc(length: number): number | undefined {
    const align = 2 ** Math.ceil(Math.log2(length));
    let below = this.#end;
    for (let i = 0; i <= this.#taken.length; i++) {
      const { start, length: size } = this.#taken[i] ?? { start: this.#first, length: 0 };
      const at = Math.floor((below - length) / align) * align;
      if (at >= start + size) {
        this.#taken.splice(i, 0, { start: at, length });
        return at;
      }
      below = start;
    }
    return undefined;
  }

  /** `free_iova()`. Fails: a Splat for what was not given so */
  free(start: number, length: number): void {
    const at = this.#taken.findIndex((each) => each.start === start && each.length === length);
    if (at < 0) throw new Splat('double unmap', `IOVAs from granule ${start}, ${length} of them, are not taken`);
    this.#taken.splice(at, 1);
  }
}
