/**
 * A batch: page numbers on their way from memory to a domain, as runs of neighbours, all of one kind.
 *
 * Source: drivers/iommu/iommufd/pages.c, struct pfn_batch
 */
import type { Domain } from '../iommu/domain.ts';
import { IOMMU_CACHE, IOMMU_MMIO } from '../iommu/prot.ts';
import type { Errno } from '../kernel/errno.ts';
import { add, bytes, type Iova, PAGE_SIZE, type PageIndex, type Pfn, sub, toNumber } from '../kernel/units.ts';
import type { Area } from './area.ts';

export type BatchKind = 'cpu' | 'mmio';

/** Runs that one batch holds: what the kernel's default memory limit gives. */
const CAPACITY = 5461;

export class PfnBatch {
  // With room for one, as most have; an array that grows out of nothing makes room for many.
  readonly #pfns: number[] = [0];
  readonly #counts: number[] = [0];
  /** How many of them; what stands behind is from before. */
  #runs = 0;
  #kind: BatchKind = 'cpu';
  /** Pages in all runs together. */
  total = 0;

  get kind(): BatchKind {
    return this.#kind;
  }

  clear(): void {
    this.#runs = 0;
    this.#kind = 'cpu';
    this.total = 0;
  }

  /** batch_add_pfn_num(): false, and nothing added, when the batch is full or of the other kind. */
  add(pfn: Pfn, count: number, kind: BatchKind): boolean {
    const end = this.#runs;
    if (end > 0 && kind !== this.#kind) return false;
    if (end > 0 && (this.#pfns[end - 1] as number) + (this.#counts[end - 1] as number) === pfn) {
      this.#counts[end - 1] = (this.#counts[end - 1] as number) + count;
    } else {
      if (end === CAPACITY) return false;
      this.#pfns[end] = pfn;
      this.#counts[end] = count;
      this.#runs++;
    }
    this.#kind = kind;
    this.total += count;
    return true;
  }

  /**
   * batch_to_domain(): map the runs into `domain`, the first page being number `index` of the area's pages. The first
   * page's offset and the last page's tail are cut off here. A failed call undoes this batch in this domain.
   */
  toDomain(domain: Domain, area: Area, index: PageIndex): Errno | undefined {
    // A VFIO container maps what permits nothing, which a domain refuses; the kernel also warns, and that is a known
    // bug of its caller's.
    if (area.prot === 0) return 'EINVAL';
    const start = area.iovaOfIndex(index);
    const prot = area.prot | (this.#kind === 'mmio' ? IOMMU_MMIO : IOMMU_CACHE);
    let offset = index === area.index ? area.pageOffset : 0;
    let left = toNumber(sub(area.iovaLastOfIndex(index + this.total - 1), start)) + 1;
    let iova = start;
    for (let run = 0; run < this.#runs; run++) {
      const phys = (this.#pfns[run] as number) * PAGE_SIZE + offset;
      const length = Math.min((this.#counts[run] as number) * PAGE_SIZE - offset, left);
      const failed = mapRun(domain, iova, phys, length, prot, area.iopt.disableLargePages);
      if (failed !== undefined) {
        if (iova !== start) domain.unmap(start, toNumber(sub(iova, start)));
        return failed;
      }
      iova = add(iova, bytes(length));
      left -= length;
      offset = 0;
    }
    return undefined;
  }

  /** Visit the runs of `count` pages from page number `at` of the batch on. */
  eachRun(at: number, count: number, visit: (pfn: Pfn, count: number) => void): void {
    let before = 0;
    for (let run = 0; run < this.#runs && before < at + count; run++) {
      const length = this.#counts[run] as number;
      const from = Math.max(at, before);
      const to = Math.min(at + count, before + length);
      if (from < to) visit((this.#pfns[run] as number) + (from - before), to - from);
      before += length;
    }
  }
}

function mapRun(
  domain: Domain,
  iova: Iova,
  phys: number,
  length: number,
  prot: number,
  smallPagesOnly: boolean,
): Errno | undefined {
  if (!smallPagesOnly) return domain.map(iova, phys, length, prot);
  // Pieces of a COPY may be odd, though all together are whole pages.
  if (iova.byte !== 0 || phys % PAGE_SIZE !== 0 || length % PAGE_SIZE !== 0) return 'EINVAL';
  for (let done = 0; done < length; done += PAGE_SIZE) {
    const failed = domain.map(add(iova, bytes(done)), phys + done, PAGE_SIZE, prot);
    if (failed !== undefined) {
      if (done > 0) domain.unmap(iova, done);
      return failed;
    }
  }
  return undefined;
}
