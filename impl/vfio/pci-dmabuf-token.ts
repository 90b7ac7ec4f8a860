/**
 * The drain token of a buffer: 1, and 1 for each DMA map that is live. A revoke drops the 1 and waits for the rest;
 * before it lets go of memory_lock it makes the token new.
 *
 * Source: vfio-dmabuf 1.5
 */
import type { Completion } from '../kernel/completion.ts';
import type { Kref } from '../kernel/kref.ts';
import type { Thread } from '../kernel/thread.ts';

/** What a buffer has of it. */
export interface DrainToken {
  readonly kref: Kref;
  /** Completed when `kref` reaches 0. */
  readonly comp: Completion;
}

/** `vfio_pci_dma_buf_done()`, when the token reaches 0. */
export function putToken({ kref, comp }: DrainToken): void {
  if (kref.put()) comp.complete();
}

/** Wait until no map is live, for ever if need be. Locks: none that an unmap may want */
export function* drainToken(token: DrainToken): Thread {
  putToken(token);
  yield token.comp;
}

/** The token of a new buffer; nobody can have taken it meanwhile, since maps are refused. */
export function rearmToken({ kref, comp }: DrainToken): void {
  kref.rearm();
  comp.reset();
}
