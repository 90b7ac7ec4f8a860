/** Random numbers of one intent: as many as a call takes, and for the same intent the same. */
import { fromBigint, type U64, u64 } from '../../impl/kernel/units.ts';
import type { Intent } from '../intents.ts';

const MAX = (1n << 64n) - 1n;

/** Numbers that some check must refuse, or just let pass. */
const EDGES: readonly U64[] = [
  0n,
  1n,
  2n,
  0x7ffn,
  0x800n,
  0xfffn,
  0x1000n,
  0x1001n,
  0x100_0000n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xfee0_0000n,
  0xffff_ffffn,
  (1n << 48n) - 0x1000n,
  1n << 48n,
  (1n << 53n) + 1n,
  (1n << 63n) - 1n,
  1n << 63n,
  MAX - 0x1000n,
  MAX - 0xfffn,
  MAX - 1n,
  MAX,
].map(fromBigint);

export class Draw {
  #state: number;

  constructor({ what, pick, from, size, at, how, odd }: Intent) {
    this.#state =
      (Math.imul(what, 0x9e3779b1) ^ (pick << 22) ^ (from << 12) ^ (size << 2) ^ Math.imul(at, 0x85ebca6b)) >>> 0;
    this.#state = (this.#state ^ Math.imul(how * 1024 + odd, 0xc2b2ae35)) >>> 0;
  }

  /** Any 32 bits. */
  word(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let x = this.#state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return (x ^ (x >>> 14)) >>> 0;
  }

  below(n: number): number {
    return this.word() % n;
  }

  /** True once in `n`. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  /** One of them; undefined of nothing. */
  pick<T>(all: readonly T[]): T | undefined {
    return all.length === 0 ? undefined : all[this.below(all.length)];
  }

  /** An edge, or any 64 bits. */
  number(): U64 {
    if (this.oneIn(2)) return this.pick(EDGES) as U64;
    return u64(this.word() * 2 ** 20 + this.below(2 ** 20), this.below(4096));
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.word());
  }
}
