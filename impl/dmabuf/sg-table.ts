/** What a DMA map hands to the importer: a list of DMA addresses, made from the physical ranges of the exporter. */

import type { DmaDirection } from '../iommu/dma-api.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import { assertHeld } from '../kernel/mutex.ts';
import { free } from '../kernel/poison.ts';
import { Splat } from '../kernel/splat.ts';
import { current, shouldFail } from '../kernel/thread.ts';
import type { PhysAddr } from '../kernel/units.ts';
import { MAP, pciP2pdmaMapType } from '../pci/map-type.ts';
import type { P2pdmaProvider } from '../pci/p2pdma.ts';
import type { PciFunction } from '../pci/topology.ts';
import type { Attachment } from './attachment.ts';
import { BusPath, type DmaPath, IovaPath, RangePath } from './dma-path.ts';
import { assertFull, calcSgNents, fillSgEntry, maxSegment, type SgEntry } from './sg-entries.ts';

/** `phys_vec`: one physically contiguous range; `len` in bytes. */
export interface PhysVec {
  readonly paddr: PhysAddr;
  readonly len: number;
}

/** `sg_table`: one DMA map of one attachment. */
export class SgTable {
  readonly attachment: Attachment;
  /** Ghost, for observers only: the memory that the entries reach, in the same order. No importer is told. */
  readonly ranges: readonly PhysVec[];
  readonly entries: readonly SgEntry[];
  /** Entries for the CPU: none, which tells importers that there are only DMA addresses. */
  readonly origNents = 0;
  /** How the addresses were made, and how they are given back. */
  readonly path: DmaPath;
  live = true;

  constructor(attachment: Attachment, ranges: readonly PhysVec[], entries: readonly SgEntry[], path: DmaPath) {
    this.attachment = attachment;
    this.ranges = ranges;
    this.entries = entries;
    this.path = path;
  }

  /** Entries for the device. */
  get nents(): number {
    return this.entries.length;
  }
}

/**
 * `dma_buf_phys_vec_to_sgt()`: make the ranges, `size` bytes in all, reachable for the attachment's device.
 * Units:  size and lengths in bytes, multiples of the page size
 * Locks:  caller holds dma_resv
 * Fails:  EINVAL where the device cannot reach the provider's memory, or the entries cannot be counted; ENOMEM; what
 *         the DMA API answers. Nothing is mapped or allocated then
 * Source: drivers/dma-buf/dma-buf-mapping.c; vfio-dmabuf 5.3
 */
export function physVecToSgt(
  attachment: Attachment,
  provider: P2pdmaProvider,
  ranges: readonly PhysVec[],
  size: number,
  dir: DmaDirection,
): SgTable | Errno {
  assertHeld(attachment.dmabuf.resv);
  if (shouldFail('dma_buf_phys_vec_to_sgt')) return 'ENOMEM';
  const path = pathTo(provider, attachment.dev, size, dir);
  if (isErrno(path)) return path;
  const longest = maxSegment(current().kernel.pageSize);
  const nents = calcSgNents(path.lengths(ranges), longest);
  const failed = sgAllocTable(nents) ?? mapAll(path, ranges);
  if (failed !== undefined) {
    path.destroy();
    return failed;
  }
  const entries: SgEntry[] = [];
  for (const segment of path.segments()) fillSgEntry(entries, nents, segment, longest);
  assertFull(entries, nents);
  return new SgTable(attachment, ranges, entries, path);
}

/** How the device gets to the provider's memory. A window of IOVAs is tried first, and there may be none. */
function pathTo(provider: P2pdmaProvider, dev: object, size: number, dir: DmaDirection): DmaPath | Errno {
  const type = pciP2pdmaMapType(provider, dev);
  if (type === MAP.BUS_ADDR) return new BusPath(provider);
  if (type !== MAP.THRU_HOST_BRIDGE) return 'EINVAL';
  if (shouldFail('dma_iova_state')) return 'ENOMEM';
  const { dma } = dev as PciFunction;
  const state = dma.iovaTryAlloc(size);
  return state === undefined ? new RangePath(dma, dir) : new IovaPath(dma, dir, state);
}

/** `sg_alloc_table()`. Fails: EINVAL for no entries, ENOMEM */
function sgAllocTable(nents: number): Errno | undefined {
  if (nents === 0) return 'EINVAL';
  return shouldFail('sg_alloc_table') ? 'ENOMEM' : undefined;
}

function mapAll(path: DmaPath, ranges: readonly PhysVec[]): Errno | undefined {
  for (const range of ranges) {
    const failed = path.map(range);
    if (failed !== undefined) return failed;
  }
  return path.sync();
}

/**
 * `dma_buf_free_sgt()`: the device reaches the ranges no more.
 * Locks: caller holds dma_resv
 * Fails: a Splat for a table that is gone already
 */
export function freeSgt(table: SgTable): void {
  assertHeld(table.attachment.dmabuf.resv);
  if (!table.live) throw new Splat('double unmap', `a map of ${table.attachment.dmabuf.name} is unmapped again`);
  table.live = false;
  table.path.destroy();
  free(table, 'sg_table');
}
