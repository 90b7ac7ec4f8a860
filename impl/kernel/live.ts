/**
 * Ghost state, which no kernel has: the reference-counted objects that live, and for each the references that an audit
 * has found so far. An object that an audit cannot reach, or finds held by another number than it counts, is a leak.
 */
import { running } from './thread.ts';

/** A descriptor, or the number of an object, comes or goes. */
export function tablesChange(): void {
  const task = running();
  if (task !== undefined) task.kernel.live.tableChanges++;
}

/** Something changes that the CPU reaches memory by: a page table's entry, a mapping, or what is in a file's tree. */
export function mappingsChange(): void {
  const task = running();
  if (task !== undefined) task.kernel.live.mappingChanges++;
}

export abstract class Live {
  /** The audit that counted last, and what it found. */
  audit = 0;
  found = 0;

  readonly #kind: 'files' | 'pages';

  constructor(kind: 'files' | 'pages') {
    this.#kind = kind;
    running()?.kernel.live[kind].add(this);
  }

  /** The object is released. */
  gone(): void {
    running()?.kernel.live[this.#kind].delete(this);
  }

  /** One reference found, by audit number `audit`. */
  count(audit: number): void {
    if (this.audit !== audit) {
      this.audit = audit;
      this.found = 0;
    }
    this.found++;
  }

  /** What this object counts itself. */
  abstract get references(): number;
  abstract get label(): string;
}
