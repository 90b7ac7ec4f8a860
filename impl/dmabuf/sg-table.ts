/**
 * What a DMA map hands to the importer. The kernel's table lists DMA addresses made by `dma_buf_phys_vec_to_sgt()`;
 * this stand-in lists the physical ranges themselves, and it is where bus addresses and IOVA windows will be made.
 */
import type { Errno } from '../kernel/errno.ts';
import { assertHeld } from '../kernel/mutex.ts';
import { Splat } from '../kernel/splat.ts';
import { shouldFail } from '../kernel/thread.ts';
import type { PhysAddr } from '../kernel/units.ts';
import type { Attachment } from './attachment.ts';

/** `phys_vec`: one physically contiguous range; `len` in bytes. */
export interface PhysVec {
  readonly paddr: PhysAddr;
  readonly len: number;
}

/** `sg_table`: one DMA map of one attachment. */
export class SgTable {
  readonly attachment: Attachment;
  readonly ranges: readonly PhysVec[];
  live = true;

  constructor(attachment: Attachment, ranges: readonly PhysVec[]) {
    this.attachment = attachment;
    this.ranges = ranges;
  }
}

/**
 * `dma_buf_phys_vec_to_sgt()`: make the ranges reachable for the attachment's device.
 * Locks: caller holds dma_resv
 * Fails: ENOMEM; nothing is mapped then
 */
export function physVecToSgt(attachment: Attachment, ranges: readonly PhysVec[]): SgTable | Errno {
  assertHeld(attachment.dmabuf.resv);
  if (shouldFail('dma_buf_phys_vec_to_sgt')) return 'ENOMEM';
  return new SgTable(attachment, ranges);
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
}
