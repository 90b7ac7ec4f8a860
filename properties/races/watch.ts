/**
 * The four invariants at every step of a race, each as soon as nobody holds the lock that guards it: before that it may
 * be broken for a moment. Where nothing has changed that they speak of, nothing is looked at.
 *
 * Source: iommufd 4.1: dma_resv protects whether the exporter has revoked, pages->mutex all that is mapped and unmapped
 */
import { Ioas } from '../../impl/iommufd/ioas.ts';
import type { Machine } from '../../impl/machine.ts';
import { vfioPciDmaBufOf } from '../../impl/vfio/pci-dmabuf.ts';
import { invariants } from '../../model/invariants.ts';
import { callsSeen } from '../observe.ts';
import { showCounterexample } from '../show-counterexample.ts';
import { type Births, livePages, sight } from './sight.ts';

const GUARDS = [...new Set(invariants.map(({ guardedBy }) => guardedBy))];

export class Watch {
  readonly #machine: Machine;
  readonly #births: Births = new WeakMap();
  /** What the last look saw of all that matters, and what there is now. */
  #seen: unknown[] = [];
  #now: unknown[] = [];
  /** How many calls to domains have been judged. */
  #judged: number;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#judged = machine.iommu.calls.length;
    this.broken();
  }

  /** The first invariant that is broken now, and where; undefined when all is well. */
  broken(): string | undefined {
    if (!this.#changed()) return undefined;
    const { calls } = this.#machine.iommu;
    // Of a mutex that is held, the rest of the calls is still to come.
    const fresh = this.#anyMapping() ? [] : calls.slice(this.#judged);
    this.#judged += fresh.length;
    for (const guard of GUARDS) {
      const seen = { ...sight(this.#machine, this.#births, guard), ...callsSeen(this.#machine, fresh) };
      for (const { name, guardedBy, breaches } of invariants) {
        const [breach] = guardedBy === guard ? breaches(seen) : [];
        if (breach !== undefined) return `${name}: ${showCounterexample(breach)}`;
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
      const revocations = vfioPciDmaBufOf(source.dmabuf)?.revocations;
      // From the moment on at which the exporter has said where the memory lies.
      if (source.len > 0 && revocations !== undefined && !this.#births.has(source))
        this.#births.set(source, revocations);
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
