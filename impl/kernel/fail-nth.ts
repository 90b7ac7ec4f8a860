/**
 * Fault points are counted, not random: the n-th one that a task passes fails, at any site or at a named one. Sweep n
 * until nothing fails any more.
 */
import { LOCKLESS, touches } from './footprint.ts';

export class FaultPoints {
  #countdown = 0;
  #site: string | undefined;
  /** Sites passed since `arm`, in order, for a report; only while armed. */
  readonly passed: string[] = [];
  #armed = false;

  /** Let the n-th point (1 is the next), of those named `site` if given, fail. */
  arm(nth: number, site?: string): void {
    this.#countdown = nth;
    this.#site = site;
    this.#armed = true;
    this.passed.length = 0;
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
    touches(LOCKLESS);
    this.passed.push(site);
    if (this.#site !== undefined && this.#site !== site) return false;
    this.#countdown--;
    return this.#countdown === 0;
  }
}
