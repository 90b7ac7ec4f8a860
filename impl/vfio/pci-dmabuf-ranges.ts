/** The ranges of an export: as 64-bit values from the user, checked, and as physical ranges of a BAR. */
import type { PhysVec } from '../dmabuf/sg-table.ts';
import type { Errno } from '../kernel/errno.ts';
import { addChecked, bytes, isAligned, isZero, less, PAGE_SIZE, toNumber, type U64, ZERO } from '../kernel/units.ts';
import type { BarResource } from '../pci/topology.ts';

/** `vfio_region_dma_range`: any 64-bit values, in bytes. */
export interface DmaRange {
  readonly offset: U64;
  readonly length: U64;
}

/** `DMA_IOVA_USE_SWIOTLB` is bit 63 of a size: 2^51 pages. */
const USE_SWIOTLB_PAGES = 2 ** 51;

/**
 * `validate_dmabuf_input()`: all ranges are looked at before any is compared with its BAR.
 * Fails: EINVAL for an empty or unaligned range, and for a sum that wraps or has bit 63
 */
export function validateRanges(ranges: readonly DmaRange[]): Errno | undefined {
  let sum: U64 | undefined = ZERO;
  for (const { offset, length } of ranges) {
    if (isZero(length) || !isAligned(offset, PAGE_SIZE) || !isAligned(length, PAGE_SIZE)) return 'EINVAL';
    sum = addChecked(sum, length);
    if (sum === undefined) return 'EINVAL';
  }
  return sum.page >= USE_SWIOTLB_PAGES ? 'EINVAL' : undefined;
}

/**
 * `vfio_pci_core_fill_phys_vec()`: the ranges in the user's order, neither merged nor sorted; they may overlap.
 * Fails: EOVERFLOW for a range that wraps, EINVAL for one that leaves the BAR; the first bad range decides
 */
export function fillPhysVec(bar: BarResource, ranges: readonly DmaRange[]): PhysVec[] | Errno {
  const start = bytes(bar.phys);
  const end = bytes(bar.phys + bar.size);
  const physVec: PhysVec[] = [];
  for (const { offset, length } of ranges) {
    const paddr = addChecked(start, offset);
    const rangeEnd = paddr && addChecked(paddr, length);
    if (paddr === undefined || rangeEnd === undefined) return 'EOVERFLOW';
    if (less(end, rangeEnd)) return 'EINVAL';
    physVec.push({ paddr: toNumber(paddr), len: toNumber(length) });
  }
  return physVec;
}
