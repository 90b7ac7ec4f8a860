/**
 * Importers of a buffer: attach, pin, map, and the exporter's call that ends all mappings. Which side holds the
 * reservation lock is part of each contract, and asserted.
 */

import type { DmaDirection } from '../iommu/dma-api.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import type { Listed } from '../kernel/list.ts';
import { assertHeld } from '../kernel/mutex.ts';
import { free } from '../kernel/poison.ts';
import { Splat, warnOn } from '../kernel/splat.ts';
import { preempt, shouldFail, type Task, type Thread } from '../kernel/thread.ts';
import type { DmaBuf } from './dma-buf.ts';
import { USAGE } from './resv.ts';
import type { SgTable } from './sg-table.ts';

/**
 * `dma_buf_attach_ops`: what a dynamic importer promises.
 * Locks: invalidateMappings is called with dma_resv held, and must not take it
 */
export interface ImporterOps {
  readonly allowPeer2peer: boolean;
  /** Stop using the mapping for new work, and unmap in bounded time. Must tolerate a call when nothing is mapped. */
  invalidateMappings?(attachment: Attachment): Thread;
  /** Ghost, for a report: the threads that are about to unmap. */
  unmappers?(): readonly Task[];
}

/**
 * The device on whose behalf an importer attaches: a `PciFunction`, or another, which reaches no memory of PCI devices.
 * Importers without hardware pass a dummy.
 */
export interface ImporterDevice {
  readonly name: string;
}

/** `dma_buf_attachment`. Constant; its place in `dmabuf.attachments` is protected by dma_resv. */
export class Attachment implements Listed<Attachment> {
  readonly dmabuf: DmaBuf;
  readonly dev: ImporterDevice;
  /** Absent for a static importer. */
  readonly importerOps: ImporterOps | undefined;
  readonly importerPriv: unknown;
  readonly peer2peer: boolean;
  /** Membership of the attachments of its buffer. */
  list: object | undefined;
  previous: Attachment | undefined;
  next: Attachment | undefined;
  /** Ghost: maps that are not unmapped. Changes under dma_resv. */
  liveMaps = 0;

  constructor(dmabuf: DmaBuf, dev: ImporterDevice, importerOps: ImporterOps | undefined, importerPriv: unknown) {
    this.dmabuf = dmabuf;
    this.dev = dev;
    this.importerOps = importerOps;
    this.importerPriv = importerPriv;
    this.peer2peer = importerOps?.allowPeer2peer ?? false;
  }
}

/**
 * `dma_buf_dynamic_attach()`: ask the exporter, then join the list.
 * Locks: takes dma_resv, but the exporter is asked without it, so a revoke may come in between
 * Fails: ENOMEM; whatever the exporter answers
 */
export function* dynamicAttach(
  dmabuf: DmaBuf,
  dev: ImporterDevice,
  importerOps: ImporterOps | undefined,
  importerPriv: unknown,
): Thread<Attachment | Errno> {
  if (shouldFail('dma_buf_dynamic_attach')) return 'ENOMEM';
  const attachment = new Attachment(dmabuf, dev, importerOps, importerPriv);
  yield preempt; // The exporter reads its own state without a lock.
  const refused = dmabuf.ops.attach?.(dmabuf, attachment);
  if (refused !== undefined) return refused;
  yield dmabuf.resv;
  try {
    dmabuf.link(attachment);
  } finally {
    dmabuf.resv.release();
  }
  return attachment;
}

/** `dma_buf_attach()`: a static importer, which cannot be told that its mapping ends. */
export function attach(dmabuf: DmaBuf, dev: ImporterDevice): Thread<Attachment | Errno> {
  return dynamicAttach(dmabuf, dev, undefined, undefined);
}

/**
 * `dma_buf_detach()`: no callback runs for the attachment after this returned.
 * Locks: takes dma_resv to leave the list; the exporter is told without it
 */
export function* detach(attachment: Attachment): Thread {
  const { dmabuf } = attachment;
  yield dmabuf.resv;
  try {
    const linked = dmabuf.unlink(attachment);
    if (!linked) throw new Splat('use after free', `${attachment.dev.name} detaches twice from ${dmabuf.name}`);
  } finally {
    dmabuf.resv.release();
  }
  dmabuf.ops.detach?.(dmabuf, attachment);
  free(attachment, 'dma_buf_attachment');
}

/** `dma_buf_attach_revocable()`: whether the importer can be told that its mapping ends. */
export const isRevocable = ({ importerOps }: Attachment): boolean => importerOps?.invalidateMappings !== undefined;

/**
 * `dma_buf_pin()`: ask the exporter not to move the buffer; nothing to ask where it has no such op.
 * Locks: caller holds dma_resv
 */
export function pin(attachment: Attachment): Errno | undefined {
  const { dmabuf, importerOps } = attachment;
  assertHeld(dmabuf.resv);
  warnOn(importerOps === undefined, () => `static importer ${attachment.dev.name} pins ${dmabuf.name}`);
  return dmabuf.ops.pin?.(attachment);
}

/**
 * `dma_buf_unpin()`: balances a successful pin.
 * Locks: caller holds dma_resv
 */
export function unpin(attachment: Attachment): void {
  const { dmabuf, importerOps } = attachment;
  assertHeld(dmabuf.resv);
  warnOn(importerOps === undefined, () => `static importer ${attachment.dev.name} unpins ${dmabuf.name}`);
  dmabuf.ops.unpin?.(attachment);
}

/**
 * `dma_buf_map_attachment()`: a static importer is pinned first and waits for the kernel's own fences; a dynamic one
 * sees to both itself.
 * Locks: caller holds dma_resv
 * Fails: whatever the exporter answers
 */
export function* mapAttachment(attachment: Attachment, dir: DmaDirection = 'bidirectional'): Thread<SgTable | Errno> {
  const { dmabuf } = attachment;
  assertHeld(dmabuf.resv);
  if (attachment.importerOps !== undefined) return mapped(attachment, dir);
  const refused = dmabuf.ops.pin?.(attachment);
  if (refused !== undefined) return refused;
  const table = mapped(attachment, dir);
  if (isErrno(table)) dmabuf.ops.unpin?.(attachment);
  else yield dmabuf.resv.fencesSignaled(USAGE.KERNEL);
  return table;
}

function mapped(attachment: Attachment, dir: DmaDirection): SgTable | Errno {
  const table = attachment.dmabuf.ops.mapDmaBuf(attachment, dir);
  if (!isErrno(table)) attachment.liveMaps++;
  return table;
}

/**
 * `dma_buf_unmap_attachment()`: allowed in any state of the buffer.
 * Locks: caller holds dma_resv
 */
export function unmapAttachment(attachment: Attachment, table: SgTable): void {
  const { dmabuf } = attachment;
  assertHeld(dmabuf.resv);
  dmabuf.ops.unmapDmaBuf(attachment, table);
  attachment.liveMaps--;
  if (attachment.importerOps === undefined) dmabuf.ops.unpin?.(attachment);
}

/** Who must unmap before no map of the buffer is live, for a report; newest attachment first. Undefined for nobody. */
export function unmapsOf(dmabuf: DmaBuf): string | undefined {
  const owing = dmabuf.attachments.filter(({ liveMaps }) => liveMaps > 0);
  const unmaps = owing.map(({ liveMaps, dev }) =>
    liveMaps === 1 ? `the unmap of importer ${dev.name}` : `${liveMaps} unmaps of importer ${dev.name}`,
  );
  return unmaps.length === 0 ? undefined : `${unmaps.join(' and ')} of ${dmabuf.name}`;
}

/** The threads that are about to do so. */
export const unmappersOf = (dmabuf: DmaBuf): Task[] =>
  dmabuf.attachments.flatMap(({ liveMaps, importerOps }) => (liveMaps > 0 ? (importerOps?.unmappers?.() ?? []) : []));

/**
 * `dma_buf_invalidate_mappings()`: the exporter tells every importer that can be told, the newest first. Afterwards the
 * memory may still be accessed: until all fences have signaled and all maps are gone.
 * Locks: caller holds dma_resv, so the list stands still
 */
export function* invalidateMappings(dmabuf: DmaBuf): Thread {
  assertHeld(dmabuf.resv);
  for (const attachment of dmabuf.attachments) {
    const ops = attachment.importerOps;
    if (ops?.invalidateMappings !== undefined) yield* ops.invalidateMappings(attachment);
  }
}
