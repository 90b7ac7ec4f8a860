/**
 * A DMA token, by which io_uring reads and writes a dma-buf through a device: the buffer is mapped when the first
 * request comes, and all requests share that map, until it is invalidated. The map dies when the last request that
 * began on it is done: its fence signals first, without the reservation lock, because an exporter may wait for it with
 * the lock held; only then can the lock be had, to unmap.
 *
 * Source: vfio-dmabuf 8.1
 */

import {
  type Attachment,
  detach,
  dynamicAttach,
  type ImporterDevice,
  type ImporterOps,
  mapAttachment,
  unmapAttachment,
} from '../dmabuf/attachment.ts';
import { type DmaBuf, dmaBufGet, dmaBufPut } from '../dmabuf/dma-buf.ts';
import { Fence, USAGE } from '../dmabuf/resv.ts';
import type { SgTable } from '../dmabuf/sg-table.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import type { FdTable } from '../kernel/file.ts';
import { Kref } from '../kernel/kref.ts';
import { assertHeld } from '../kernel/mutex.ts';
import { free } from '../kernel/poison.ts';
import { preempt, shouldFail, type Thread, type WaitPoint } from '../kernel/thread.ts';
import { Work, type Workqueue } from '../kernel/workqueue.ts';

/** One mapping of the buffer. */
export class TokenMap {
  readonly table: SgTable;
  readonly fence: Fence;
  /** 1 of the token while the map is current, and 1 of each request. */
  readonly refs: Kref;
  readonly release: Work;

  constructor(name: string, table: SgTable, fence: Fence, release: (map: TokenMap) => Thread) {
    this.table = table;
    this.fence = fence;
    this.refs = new Kref(name);
    this.release = new Work(`release of ${name}`, () => release(this));
  }
}

/** Present while registered; holds one reference of the buffer's file until its last map is gone. */
export class DmaToken {
  readonly dev: ImporterDevice;
  readonly dmabuf: DmaBuf;
  readonly queue: Workqueue;
  attachment!: Attachment;
  /** What new requests use. Protected by dma_resv; readable without. */
  current: TokenMap | undefined;
  /** Maps that are not unmapped: the current one, and those that die. Protected by dma_resv. */
  readonly maps = new Set<TokenMap>();
  /** No request comes any more. */
  closing = false;
  readonly #context: number;
  #made = 0;

  constructor(dev: ImporterDevice, dmabuf: DmaBuf, queue: Workqueue, context: number) {
    this.dev = dev;
    this.dmabuf = dmabuf;
    this.queue = queue;
    this.#context = context;
  }

  newMap(table: SgTable): TokenMap {
    const name = `map ${++this.#made} of ${this.dev.name}`;
    const map = new TokenMap(name, table, new Fence(name, this.#context + this.#made, 1), (it) => release(this, it));
    this.maps.add(map);
    return map;
  }
}

let contexts = 2 ** 32;

/**
 * Register a buffer: attach for the device. Nothing is mapped before the first request.
 * Locks: takes dma_resv
 * Fails: EBADF, EINVAL for what is no buffer; ENOMEM; whatever the exporter answers; no reference is left then
 */
export function* tokenRegister(
  dev: ImporterDevice,
  fds: FdTable,
  fd: number,
  queue: Workqueue,
): Thread<DmaToken | Errno> {
  const dmabuf = dmaBufGet(fds, fd);
  if (isErrno(dmabuf)) return dmabuf;
  contexts += 2 ** 20;
  const token = new DmaToken(dev, dmabuf, queue, contexts);
  const failed = shouldFail('io_dmabuf_token_create') ? 'ENOMEM' : yield* attachToken(token);
  if (failed === undefined) return token;
  dmaBufPut(dmabuf);
  return failed;
}

function* attachToken(token: DmaToken): Thread<Errno | undefined> {
  const ops: ImporterOps = { allowPeer2peer: true, invalidateMappings: () => invalidate(token) };
  const attachment = yield* dynamicAttach(token.dmabuf, token.dev, ops, token);
  if (isErrno(attachment)) return attachment;
  token.attachment = attachment;
  return undefined;
}

/**
 * Begin a request: it holds the map that it uses until `tokenComplete`. Without a current map one is made, when what
 * the exporter has in flight is done.
 * Locks: takes dma_resv when there is no map; waits for fences without it
 * Fails: EINVAL for a token that is unregistered; ENOMEM; whatever the exporter answers
 */
export function* tokenIssue(token: DmaToken): Thread<TokenMap | Errno> {
  const { resv } = token.dmabuf;
  for (;;) {
    yield preempt; // The current map is looked at without a lock.
    if (token.closing) return 'EINVAL';
    if (token.current?.refs.getActive() === true) return token.current;
    yield resv.fencesSignaled(USAGE.KERNEL);
    yield resv;
    try {
      if (token.current !== undefined || token.closing) continue;
      // Whoever had the lock meanwhile may have added one.
      if (!resv.testSignaled(USAGE.KERNEL)) continue;
      const made = yield* createMap(token);
      if (!isErrno(made)) made.refs.get();
      return made;
    } finally {
      resv.release();
    }
  }
}

/** The new current map. Locks: caller holds dma_resv. Fails: ENOMEM, and nothing is mapped; as the exporter does */
function* createMap(token: DmaToken): Thread<TokenMap | Errno> {
  const { attachment } = token;
  const table = yield* mapAttachment(attachment);
  if (isErrno(table)) return table;
  if (shouldFail('io_dmabuf_map_create')) {
    unmapAttachment(attachment, table);
    return 'ENOMEM';
  }
  token.current = token.newMap(table);
  return token.current;
}

/** The request is done. Waits for nothing, and holds nothing. */
export function tokenComplete(token: DmaToken, map: TokenMap): void {
  if (map.refs.put()) token.queue.queue(map.release);
}

/** The last reference is gone: signal, and only then lock and unmap. */
function* release(token: DmaToken, map: TokenMap): Thread {
  const { resv } = token.dmabuf;
  map.fence.signal();
  yield resv;
  try {
    unmapAttachment(token.attachment, map.table);
    token.maps.delete(map);
  } finally {
    resv.release();
  }
  free(map, 'io_dmabuf_map');
}

/**
 * The mapping ends: no new request uses it, and the fence says when the last old one is done. Without a slot for the
 * fence there is nothing but to wait here. Locks: caller holds dma_resv
 */
function* invalidate(token: DmaToken): Thread {
  const { resv } = token.dmabuf;
  assertHeld(resv);
  const map = token.current;
  if (map === undefined) return;
  token.current = undefined;
  const failed = resv.reserveFences(1);
  if (failed === undefined) resv.addFence(map.fence, USAGE.KERNEL);
  tokenComplete(token, map);
  if (failed !== undefined) yield signaled(map);
}

const signaled = ({ fence }: TokenMap): WaitPoint => ({
  name: `fence ${fence.name}`,
  ready: () => fence.signaled,
  enter: () => {},
  blockedBy: () => `fence ${fence.name} (alone)`,
  outside: true,
});

/**
 * Unregister: the current map dies as by an invalidation; when all maps are gone the device detaches.
 * Locks: takes dma_resv, several times; waits without it
 */
export function* tokenUnregister(token: DmaToken): Thread {
  const { dmabuf, attachment } = token;
  token.closing = true;
  yield dmabuf.resv;
  try {
    yield* invalidate(token);
  } finally {
    dmabuf.resv.release();
  }
  yield dmabuf.resv.fencesSignaled(USAGE.KERNEL);
  yield unmapped(token);
  yield* detach(attachment);
  dmaBufPut(dmabuf);
}

/** The last map of the token is gone. */
const unmapped = ({ dev, maps }: DmaToken): WaitPoint => ({
  name: `maps of ${dev.name}`,
  ready: () => maps.size === 0,
  enter: () => {},
  blockedBy: () => [...maps].map(({ fence }) => fence.name).join(', '),
  outside: true,
});
