/** Ghost, as CONFIG_DMA_API_DEBUG has it: which pieces are mapped, so that each is unmapped once and as a whole. */
import { Splat } from '../kernel/splat.ts';
import { hex } from '../kernel/units.ts';
import type { DmaAddr } from './dma-api.ts';

export class LiveMappings {
  /** How often each piece is mapped; the same memory may be mapped twice to the same address. */
  readonly #counts = new Map<string, number>();

  /** What is mapped, for observers: a line for each piece. */
  get lines(): readonly string[] {
    return [...this.#counts].map(([piece, count]) => `${piece} × ${count}`).sort();
  }

  add(addr: DmaAddr, size: number): void {
    const piece = pieceOf(addr, size);
    this.#counts.set(piece, (this.#counts.get(piece) ?? 0) + 1);
  }

  /** Fails: a Splat for what is not mapped just so */
  remove(addr: DmaAddr, size: number): void {
    const piece = pieceOf(addr, size);
    const count = this.#counts.get(piece);
    if (count === undefined) throw new Splat('double unmap', `no DMA mapping of ${piece}`);
    if (count === 1) this.#counts.delete(piece);
    else this.#counts.set(piece, count - 1);
  }
}

const pieceOf = (addr: DmaAddr, size: number): string => `${hex(addr)} length ${hex(size)}`;
