/**
 * The leaf oracle: page tables made of nothing but the calls that reached the domains. At each address stands the
 * largest page that divides IOVA and target and is not longer than what is left (I-67); what is unmapped is gone whole.
 *
 * Source: iommufd 3.4, I-67
 */
import type { Domain, DomainCall } from '../impl/iommu/domain.ts';
import { toBigint } from '../impl/kernel/units.ts';
import type { Seen, Watcher } from './mapping/walk.ts';

/** One entry of a page table, as the hardware holds it. In bytes. */
export interface Leaf {
  readonly iova: bigint;
  readonly phys: bigint;
  readonly length: bigint;
  /** A device has written to it. */
  dirty: boolean;
}

/** The leaves of one map call. */
export function leavesOf(sizes: readonly bigint[], iova: bigint, phys: bigint, length: bigint): Leaf[] {
  const leaves: Leaf[] = [];
  for (let done = 0n; done < length; ) {
    const fits = sizes.filter(
      (size) => (iova + done) % size === 0n && (phys + done) % size === 0n && size <= length - done,
    );
    const size = fits.reduce((largest, each) => (each > largest ? each : largest));
    leaves.push({ iova: iova + done, phys: phys + done, length: size, dirty: false });
    done += size;
  }
  return leaves;
}

/** The tables of all domains. */
export class NaiveTables {
  readonly #leaves = new Map<Domain, Leaf[]>();

  /** In no order. */
  of(domain: Domain): Leaf[] {
    const leaves = this.#leaves.get(domain) ?? [];
    this.#leaves.set(domain, leaves);
    return leaves;
  }

  follow(calls: readonly DomainCall[]): void {
    for (const call of calls) {
      const [iova, length] = [toBigint(call.iova), BigInt(call.length)];
      const leaves = this.of(call.domain);
      if (call.op === 'map') {
        leaves.push(...leavesOf(call.domain.iommu.pageSizes.map(BigInt), iova, BigInt(call.phys), length));
      } else {
        this.#leaves.set(
          call.domain,
          leaves.filter((leaf) => leaf.iova < iova || leaf.iova >= iova + length),
        );
      }
    }
  }
}

/** Compares the tables that the calls make with those that the hardware walks. */
export class LeafWatcher implements Watcher {
  readonly name = 'largest leaves';
  readonly #tables = new NaiveTables();
  readonly #seen: Map<bigint, number>;

  /** `seen` counts the leaves of each size. */
  constructor(seen: Map<bigint, number>) {
    this.#seen = seen;
  }

  saw({ calls }: Seen): string[] {
    this.#tables.follow(calls);
    for (const domain of new Set(calls.map((call) => call.domain))) {
      const found = walked(domain);
      for (const { length } of found) this.#seen.set(length, (this.#seen.get(length) ?? 0) + 1);
      const [is, should] = [found, this.#tables.of(domain)].map((leaves) => leaves.map(show).sort());
      const at = should?.findIndex((leaf, i) => leaf !== is?.[i]) ?? -1;
      if (at >= 0) return [`domain ${domain.name} has the leaf ${is?.[at]}`, `and should have ${should?.[at]}`];
      if (is?.length !== should?.length)
        return [`domain ${domain.name} has the leaf ${is?.[should?.length ?? 0]} too many`];
    }
    return [];
  }
}

const show = ({ iova, phys, length }: Pick<Leaf, 'iova' | 'phys' | 'length'>): string =>
  `0x${iova.toString(16).padStart(16, '0')} -> 0x${phys.toString(16)} length 0x${length.toString(16)}`;

/** The leaves as the hardware holds them. */
const walked = (domain: Domain): Pick<Leaf, 'iova' | 'phys' | 'length'>[] =>
  domain.leaves(domain.iommu.apertureFirst, domain.iommu.apertureLast).map(({ iova, phys, length }) => ({
    iova: toBigint(iova),
    phys: BigInt(phys),
    length: BigInt(length),
  }));
