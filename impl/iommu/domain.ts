/**
 * A domain: one I/O address space as the hardware walks it. Every call that reaches it is logged with what it really
 * did; a call that no correct caller makes is a splat.
 */

import type { Errno } from '../kernel/errno.ts';
import { LOCKLESS, looksAt, newIdentity, touches } from '../kernel/footprint.ts';
import { Splat } from '../kernel/splat.ts';
import { running, shouldFail } from '../kernel/thread.ts';
import { atMost, hex, type Iova, PAGE_SIZE, type PhysAddr, type U64, u64 } from '../kernel/units.ts';
import { PageTable } from './page-table.ts';
import { PageTableFormat } from './page-table-format.ts';
import { IOMMU_READ, IOMMU_WRITE } from './prot.ts';

/** One call to a domain. Lengths in bytes; an unmap's `length` is what was really cleared. */
export type DomainCall =
  | { readonly op: 'map'; domain: Domain; iova: Iova; phys: PhysAddr; length: number; prot: number }
  | { readonly op: 'unmap'; domain: Domain; iova: Iova; length: number; asked: number };

/** What all domains of one IOMMU share: the format of its page tables, and the log of the calls. */
export class Iommu {
  /** Page sizes in bytes, ascending. */
  readonly pageSizes: readonly number[];
  /** The lowest, at most PAGE_SIZE. */
  readonly granule: number;
  /** What a domain translates: [first, last], below 2^57. */
  readonly apertureFirst: Iova;
  readonly apertureLast: Iova;
  /** How many granules, from 0 on, a table has room for. */
  readonly granules: number;
  readonly format: PageTableFormat;
  /** Calls since somebody emptied it. */
  readonly calls: DomainCall[] = [];
  /** The domains that exist. */
  readonly domains = new Set<Domain>();

  constructor(pageSizes: readonly number[], apertureFirst: Iova, apertureLast: Iova) {
    const granule = pageSizes[0] as number;
    this.pageSizes = pageSizes;
    this.granule = granule;
    this.apertureFirst = apertureFirst;
    this.apertureLast = apertureLast;
    this.granules = granulesOf(apertureLast, granule) + 1;
    this.format = new PageTableFormat(
      this.granules,
      pageSizes.map((size) => size / granule),
    );
  }
}

const granulesOf = ({ page, byte }: U64, granule: number): number =>
  page * (PAGE_SIZE / granule) + Math.floor(byte / granule);

/** No format has longer physical addresses. */
const PHYS_END: PhysAddr = 2 ** 52;

/** A stretch that a domain translates, its neighbours merged. Lengths in bytes. */
export interface Stretch {
  iova: Iova;
  phys: PhysAddr;
  length: number;
  prot: number;
}

export class Domain {
  readonly iommu: Iommu;
  /** For messages and observers: the IOAS or HWPT by which a user knows it. */
  readonly name: string;
  readonly granule: number;
  /** The list of it alone, which is one for all who need that. */
  readonly alone: readonly Domain[] = [this];
  readonly #identity = newIdentity();
  /** Whether its devices can set dirty bits; said once, when it is made. */
  hasDirtyOps = false;
  /** Whether they do. */
  tracking = false;
  readonly #table: PageTable;
  #freedBy: string | undefined;

  constructor(iommu: Iommu, name: string) {
    this.iommu = iommu;
    this.name = name;
    touches(LOCKLESS);
    iommu.domains.add(this);
    this.granule = iommu.granule;
    this.#table = new PageTable(iommu.format);
  }

  get empty(): boolean {
    looksAt(this.#identity);
    return this.#table.empty;
  }

  /** iommu_domain_free(): whoever mapped has unmapped. */
  destroy(): void {
    this.#assertAlive('destroyed');
    if (!this.empty) throw new Splat('leak', `domain ${this.name} is destroyed with mappings`);
    touches(LOCKLESS);
    this.#freedBy = running()?.name ?? 'an observer';
    this.#table.destroy();
    this.iommu.domains.delete(this);
  }

  /** Calls outlive the domain that they reached, and name it; so it is not poisoned when it is freed. */
  #assertAlive(use: string): void {
    if (this.#freedBy === undefined) return;
    const by = running()?.name ?? 'an observer';
    throw new Splat('use after free', `domain ${this.name} is ${use} by ${by}, and was freed by ${this.#freedBy}`);
  }

  /**
   * iommu_map(): make [iova, iova + length) reach `phys` on. A failed call leaves nothing of itself behind.
   * Units: length in bytes
   * Fails: EINVAL when an argument is no multiple of the smallest page, ERANGE beyond what the format can hold, ENOMEM;
   * a Splat when nothing is permitted
   */
  map(iova: Iova, phys: PhysAddr, length: number, prot: number): Errno | undefined {
    this.#assertAlive('filled');
    if (((iova.byte | phys | length) & (this.granule - 1)) !== 0) return 'EINVAL';
    if ((prot & (IOMMU_READ | IOMMU_WRITE)) === 0) throw new Splat('WARN', 'a mapping that permits nothing');
    const at = this.#granules(iova);
    const granules = length / this.granule;
    if (at + granules > this.iommu.granules || phys + length > PHYS_END) return 'ERANGE';
    if (shouldFail('iommu_map')) return 'ENOMEM';
    touches(this.#identity);
    const failed = this.#table.map(at, phys / this.granule, granules, prot);
    if (failed === undefined) this.iommu.calls.push({ op: 'map', domain: this, iova, phys, length, prot });
    return failed;
  }

  /**
   * iommu_unmap(): when it returns, no device translates [iova, iova + length) any more. It cannot fail; clearing
   * another length than asked is the caller's bug, and so is asking for what is no multiple of the smallest page.
   */
  unmap(iova: Iova, length: number): void {
    this.#assertAlive('emptied');
    touches(this.#identity);
    const whole = ((iova.byte | length) & (this.granule - 1)) === 0;
    const cleared = whole ? this.#table.unmap(this.#granules(iova), length / this.granule) * this.granule : 0;
    this.iommu.calls.push({ op: 'unmap', domain: this, iova, length: cleared, asked: length });
    if (cleared !== length) {
      const where = `domain ${this.name}, [${hex(iova)}, length ${hex(length)})`;
      throw new Splat('double unmap', `${where}: only ${hex(cleared)} bytes from the start were mapped`);
    }
  }

  /** How many tables the hardware walks; for observers. */
  get tables(): number {
    return this.#table.tables;
  }

  /** Whether the hardware translates this address at all. */
  inAperture(iova: Iova): boolean {
    return atMost(this.iommu.apertureFirst, iova) && atMost(iova, this.iommu.apertureLast);
  }

  /** iommu_iova_to_phys(): undefined where nothing is mapped. */
  translate(iova: Iova): PhysAddr | undefined {
    looksAt(this.#identity);
    const entry = this.#table.lookup(this.#granules(iova));
    if (entry === 0) return undefined;
    return Math.floor(entry / 64) * this.granule + (iova.byte & (this.granule - 1));
  }

  /** Protection of the page at `iova`; 0 where nothing is mapped. */
  protection(iova: Iova): number {
    looksAt(this.#identity);
    const entry = this.#table.lookup(this.#granules(iova));
    return entry - Math.floor(entry / 64) * 64;
  }

  /** A device writes the byte at `iova`: where it goes, undefined for a fault. What is tracked leaves its bit. */
  write(iova: Iova): PhysAddr | undefined {
    touches(this.#identity);
    if (!this.inAperture(iova) || (this.protection(iova) & IOMMU_WRITE) === 0) return undefined;
    if (this.tracking) this.setDirty(iova);
    return this.translate(iova);
  }

  /** Set the dirty bit of the page at `iova`, as a device does that writes it. False where nothing is mapped. */
  setDirty(iova: Iova): boolean {
    touches(this.#identity);
    return this.#table.setDirty(this.#granules(iova));
  }

  /**
   * read_and_clear_dirty(): visit what of [first, last] lies in written pages; `clear` forgets all of these pages, even
   * what lies outside.
   * Units: visited lengths in bytes
   */
  readDirty(first: Iova, last: Iova, clear: boolean, visit: (iova: Iova, length: number) => void): void {
    touches(this.#identity);
    this.#table.readDirty(this.#granules(first), this.#granules(last), clear, (granule, granules) => {
      visit(this.#iova(granule), granules * this.granule);
    });
  }

  /** What the hardware finds in the aperture's [first, last], ascending, neighbours merged. */
  stretches(first: Iova, last: Iova): Stretch[] {
    const found: Stretch[] = [];
    let end = -1;
    let target = -1;
    let open: Stretch | undefined;
    this.#table.walk(this.#granules(first), this.#granules(last), (granule, to, granules, prot) => {
      if (open !== undefined && granule === end && to === target && prot === open.prot) {
        open.length += granules * this.granule;
      } else {
        open = { iova: this.#iova(granule), phys: to * this.granule, length: granules * this.granule, prot };
        found.push(open);
      }
      end = granule + granules;
      target = to + granules;
    });
    return found;
  }

  /** The leaves in [first, last], each as the hardware holds it: bytes of IOVA, and bytes of length. */
  leaves(first: Iova, last: Iova): { iova: Iova; phys: PhysAddr; length: number }[] {
    const found: { iova: Iova; phys: PhysAddr; length: number }[] = [];
    this.#table.walk(this.#granules(first), this.#granules(last), (granule, to, granules) => {
      found.push({ iova: this.#iova(granule), phys: to * this.granule, length: granules * this.granule });
    });
    return found;
  }

  #granules(iova: U64): number {
    return granulesOf(iova, this.granule);
  }

  #iova(granule: number): Iova {
    const perPage = PAGE_SIZE / this.granule;
    const page = Math.floor(granule / perPage);
    return u64(page, (granule - page * perPage) * this.granule);
  }
}
