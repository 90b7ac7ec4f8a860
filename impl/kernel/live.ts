/**
 * Ghost state, which no kernel has: the reference-counted objects that live, and for each the references that an audit
 * has found so far. An object that an audit cannot reach, or finds held by another number than it counts, is a leak.
 */
import type { Audited, Ghosts } from './ghosts.ts';
import type { List, Listed } from './list.ts';
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

/** A count of pins or charges changes. */
export function chargesChange(): void {
  const task = running();
  if (task !== undefined) task.kernel.live.chargeChanges++;
}

/** An access is about to pin pages. */
export function accessPins(): void {
  const task = running();
  if (task !== undefined) task.kernel.live.accessed = true;
}

/** Something changes that an audit looks at. */
export function disturb(it: Audited): void {
  running()?.kernel.live.disturb(it);
}

type Kind = 'files' | 'pages';

const listOf = ({ files, pages }: Ghosts, kind: Kind): List<Live> => (kind === 'files' ? files : pages);

export abstract class Live implements Audited, Listed<Live> {
  disturbed = 0;
  /** Membership of those that live. */
  list: object | undefined;
  previous: Live | undefined;
  next: Live | undefined;
  /** References of which their holders tell when they come and go. */
  kept = 0;
  /** The audit that counted the others last, and what it found. */
  audit = 0;
  found = 0;

  readonly #kind: Kind;

  constructor(kind: Kind) {
    this.#kind = kind;
    const live = running()?.kernel.live;
    if (live === undefined) return;
    listOf(live, kind).add(this);
    this.disturbed = live.born(this);
  }

  /** The object is released. */
  gone(): void {
    const live = running()?.kernel.live;
    if (live !== undefined) listOf(live, this.#kind).delete(this);
    if (this.kept > 0) live?.orphans.push(`${this.label} is gone, and ${this.kept} hold it`);
  }

  /** One of the references that are told of comes, or goes. */
  keep(by: 1 | -1): void {
    this.kept += by;
    disturb(this);
  }

  /** One reference found, by audit number `audit`. */
  count(audit: number): void {
    if (this.audit !== audit) {
      this.audit = audit;
      this.found = 0;
    }
    this.found++;
  }

  /** How many references there are: those told of, and the others if that audit has counted them. */
  foundBy(audit: number): number {
    return this.audit === audit ? this.kept + this.found : this.kept;
  }

  /** What this object counts itself. */
  abstract get references(): number;
  abstract get label(): string;
}
