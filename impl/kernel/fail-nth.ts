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
  /** The site of the point that failed, once it has; and of the one that failed after it. */
  failed: string | undefined;
  failedAgain: string | undefined;
  #armed = false;
  /** How many points of `passed` there were when the first failed, with it. */
  #before = 0;
  #again = 0;

  /** Let the n-th point (1 is the next) fail, of those named `site` or chosen by it if it is given. */
  arm(nth: number, site?: string | Chosen): void {
    this.#countdown = nth;
    this.#site = site;
    this.#armed = true;
    this.passed.length = 0;
    this.failed = undefined;
    this.failedAgain = undefined;
    this.#again = 0;
  }

  /** Once that has failed, let the n-th point from there on fail, too, whatever it is; none, if 0. */
  thenFail(nth: number): void {
    this.#again = nth;
  }

  /** Sites passed since the first failed: mostly none, because to undo needs nothing. */
  get later(): readonly string[] {
    return this.fired ? this.passed.slice(this.#before) : [];
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
    if (this.fired) return this.#hitLater(site);
    const wanted = this.#site;
    if (wanted !== undefined && !(typeof wanted === 'string' ? wanted === site : wanted(site))) return false;
    this.#countdown--;
    if (this.#countdown !== 0) return false;
    this.failed = site;
    this.#before = this.passed.length;
    return true;
  }

  #hitLater(site: string): boolean {
    if (this.#again === 0) return false;
    this.#again--;
    if (this.#again > 0) return false;
    this.failedAgain = site;
    return true;
  }
}
