/** A live line on a terminal; nothing in a pipe. */
import type { Coverage } from '../properties/coverage.ts';

export class Progress {
  readonly #live: boolean;
  #shown = 0;

  constructor(wanted: boolean) {
    this.#live = wanted && process.stdout.isTTY === true;
  }

  /** At most ten times a second. */
  show(sequences: number, coverage: Coverage, seconds: number): void {
    if (!this.#live || performance.now() - this.#shown < 100) return;
    this.#shown = performance.now();
    const rate = Math.round(coverage.steps / seconds).toLocaleString('en');
    const seen = Math.floor(coverage.share * 100);
    const line = `${sequences} sequences, ${rate} steps/s, coverage ${seen} %, ${seconds.toFixed(0)} s`;
    process.stdout.write(`\r${line.padEnd(76)}`);
  }

  end(): void {
    if (this.#shown > 0) process.stdout.write(`\r${''.padEnd(76)}\r`);
  }
}
