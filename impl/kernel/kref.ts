import { LOCKLESS, touches } from './footprint.ts';
import type { Audited } from './ghosts.ts';
import { disturb } from './live.ts';
import { Splat } from './splat.ts';

/** A reference count. Getting from zero and putting below zero are splats; at zero the object is dead. */
export class Kref {
  readonly name: string;
  /** Ghost: how often it was taken or dropped. */
  changes = 0;
  /** Ghost: what an audit looks at when the count has changed. */
  readonly #of: Audited | undefined;
  #count = 1;

  constructor(name: string, of?: Audited) {
    this.name = name;
    this.#of = of;
  }

  get count(): number {
    return this.#count;
  }

  get(): void {
    touches(LOCKLESS);
    if (this.#count <= 0) throw new Splat('refcount', `${this.name}: get of a dead object`);
    this.#count++;
    this.changes++;
    if (this.#of !== undefined) disturb(this.#of);
  }

  /** kref_get_unless_zero(): false when it is too late. */
  getActive(): boolean {
    touches(LOCKLESS);
    if (this.#count === 0) return false;
    this.#count++;
    this.changes++;
    if (this.#of !== undefined) disturb(this.#of);
    return true;
  }

  /** Drop one; true for the last, whose caller must release the object. */
  put(): boolean {
    touches(LOCKLESS);
    if (this.#count <= 0) throw new Splat('refcount', `${this.name}: put below zero`);
    this.#count--;
    this.changes++;
    if (this.#of !== undefined) disturb(this.#of);
    return this.#count === 0;
  }

  /** kref_init() again, on an object at rest. */
  rearm(): void {
    touches(LOCKLESS);
    if (this.#count !== 0) throw new Splat('refcount', `${this.name}: re-armed while ${this.#count} hold it`);
    this.#count = 1;
  }
}
