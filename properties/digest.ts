/** A digest of everything that a run did and was answered, to tell whether two runs were the same to the last bit. */
import { createHash, type Hash } from 'node:crypto';
import type { Performed } from './perform.ts';

export class Digest {
  readonly #hash: Hash = createHash('sha256');

  add({ command, result }: Performed): void {
    this.#hash.update(
      JSON.stringify([command, result], (_key, it: unknown) => (typeof it === 'bigint' ? `${it}n` : it)),
    );
  }

  /** Ends it. */
  get hex(): string {
    return this.#hash.digest('hex');
  }
}
