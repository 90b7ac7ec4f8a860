/**
 * What must hold at every step of several threads: the four invariants, each as soon as nobody holds the lock that
 * guards it, because before that it may be broken for a moment; and the rules of devices. Where nothing has changed
 * that the invariants speak of, they look at nothing.
 *
 * Source: iommufd 4.1: dma_resv protects whether the exporter has revoked, pages->mutex all that is mapped and unmapped
 */
import type { DomainCall } from '../../impl/iommu/domain.ts';
import { Ioas } from '../../impl/iommufd/ioas.ts';
import type { Machine } from '../../impl/machine.ts';
import { invariants } from '../../model/invariants.ts';
import { callsSeen } from '../observe.ts';
import { showCounterexample } from '../show-counterexample.ts';
import { Births, exporterOf } from './births.ts';
import { type Breach, Broken } from './breach.ts';
import { brokenRule } from './rules.ts';
import { livePages, owners, sight } from './sight.ts';

const GUARDS = [...new Set(invariants.map(({ guardedBy }) => guardedBy))];

export class Watch {
  readonly #machine: Machine;
  readonly #births = new Births();
  /** What the last look saw of all that matters, and what there is now. */
  #seen: unknown[] = [];
  #now: unknown[] = [];
  /** How many calls to domains have been judged. */
  #judged: number;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#judged = machine.iommu.calls.length;
    for (const { source } of livePages(machine)) if (source.kind === 'dmabuf') this.#births.begin(source);
    this.#broken();
  }

  /** After a step of the thread. Fails with what is Broken. */
  look(thread: string): void {
    const found = this.#broken() ?? brokenRule(this.#machine);
    if (found !== undefined) throw new Broken({ ...found, what: `after a step of ${thread}: ${found.what}` });
  }

  /** The first invariant that is broken now, and where; undefined when all is well. */
  #broken(): Breach | undefined {
    if (!this.#changed()) return undefined;
    const { calls } = this.#machine.iommu;
    // Of a mutex that is held, the rest of the calls is still to come.
    const fresh = this.#anyMapping() ? [] : calls.slice(this.#judged);
    this.#judged += fresh.length;
    const pagesOf = owners(this.#machine);
    for (const guard of GUARDS) {
      const shown = sight(this.#machine, this.#births, pagesOf, guard);
      for (const own of byDomain(fresh)) {
        const seen = { ...shown, ...callsSeen(this.#machine, own) };
        for (const { name, guardedBy, breaches } of invariants) {
          const [breach] = guardedBy === guard ? breaches(seen) : [];
          if (breach !== undefined) return { kind: name, what: showCounterexample(breach) };
        }
      }
    }
    return undefined;
  }

  #anyMapping(): boolean {
    for (const { mutex } of livePages(this.#machine)) if (mutex.locked) return true;
    return false;
  }

  /** Calls, areas, domains, what is revoked, and which guards are held: whether any is other than before. */
  #changed(): boolean {
    [this.#seen, this.#now] = [this.#now, this.#seen];
    const now = this.#now;
    let at = 0;
    const note = (value: unknown): void => {
      now[at++] = value;
    };
    const { iommu, devices, contexts } = this.#machine;
    note(iommu.calls.length);
    for (const { memoryLock, power, vconfig, dmabufs } of devices.values()) {
      note(memoryLock.locked);
      note(power);
      note(vconfig?.command);
      for (const { revocations, status } of dmabufs) {
        note(revocations);
        note(status);
      }
    }
    for (const pages of livePages(this.#machine)) {
      const { source, mutex } = pages;
      note(mutex.locked);
      if (source.kind !== 'dmabuf') continue;
      note(source.dmabuf.resv.locked);
      note(source.len);
      const exporter = exporterOf(source.dmabuf);
      note(exporter?.revocations);
      note(exporter?.revoked);
      this.#births.note(source);
    }
    for (const { table } of contexts) {
      for (const object of table) {
        if (!(object instanceof Ioas)) continue;
        for (const { pages, iova } of object.iopt.areas.all()) {
          note(iova);
          note(pages);
        }
        note(object.iopt.domains.length);
        note(object.iopt.domainsRwsem.read.ready());
      }
    }
    now.length = at;
    return now.length !== this.#seen.length || now.some((value, i) => value !== this.#seen[i]);
  }
}

/** Those of each domain by themselves: one that goes and one that comes may have the same name. */
const byDomain = (calls: readonly DomainCall[]): readonly (readonly DomainCall[])[] =>
  calls.length === 0 ? [calls] : [...Map.groupBy(calls, ({ domain }) => domain).values()];
