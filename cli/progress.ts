/** How far a search has come: a live line on a terminal, nothing in a pipe; and what its end allows to say. */

export class Progress {
  readonly #live: boolean;
  #shown = 0;

  constructor(wanted: boolean) {
    this.#live = wanted && process.stdout.isTTY === true;
  }

  /** At most ten times a second. */
  showLine(line: () => string): void {
    if (!this.#live || performance.now() - this.#shown < 100) return;
    this.#shown = performance.now();
    process.stdout.write(`\r${line().padEnd(76)}`);
  }

  end(): void {
    if (this.#shown > 0) process.stdout.write(`\r${''.padEnd(76)}\r`);
  }
}

/** What a search without a failure may claim: of nothing, nothing. */
export function verdictOf(good: string, done: number, interrupted: boolean): string {
  if (done === 0) return 'nothing was run';
  return interrupted ? `${good} so far` : good;
}
