/**
 * Fault points are counted, not random: the n-th one that a task passes fails, at any site or at a named one. Sweep n
 * until nothing fails any more.
 */

/** Which sites count. */
export type Chosen = (site: string) => boolean;

export class FaultPoints {
  #countdown = 0;
  #site: string | Chosen | undefined;
  /** Sites passed since `arm`, in order, for a report; only while armed. */
  readonly passed: string[] = [];
  /** The site of the point that failed, once it has. */
  failed: string | undefined;
  #armed = false;

  /** Let the n-th point (1 is the next) fail, of those named `site` or chosen by it if it is given. */
  arm(nth: number, site?: string | Chosen): void {
    this.#countdown = nth;
    this.#site = site;
    this.#armed = true;
    this.passed.length = 0;
    this.failed = undefined;
  }

  disarm(): void {
    this.#armed = false;
  }

  /** Whether the chosen point was reached since `arm`. */
  get fired(): boolean {
    return this.#countdown <= 0;
  }

  hit(site: string): boolean {
    if (!this.#armed) return false;
    this.passed.push(site);
    const wanted = this.#site;
    if (wanted !== undefined && !(typeof wanted === 'string' ? wanted === site : wanted(site))) return false;
    this.#countdown--;
    if (this.#countdown !== 0) return false;
    this.failed = site;
    return true;
  }
}
