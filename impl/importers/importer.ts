/**
 * Drivers that import buffers for their devices, by what they do when a mapping ends. Each is a dma-buf importer as
 * RDMA or GPU drivers are: it attaches by a descriptor, maps, and has work in flight.
 *
 * Source: vfio-dmabuf 4.2 to 4.4
 */
import {
  type Attachment,
  detach,
  dynamicAttach,
  type ImporterDevice,
  type ImporterOps,
  mapAttachment,
  pin,
  unmapAttachment,
  unpin,
} from '../dmabuf/attachment.ts';
import { type DmaBuf, dmaBufGet, dmaBufPut } from '../dmabuf/dma-buf.ts';
import { type Fence, type Resv, USAGE, type Usage } from '../dmabuf/resv.ts';
import type { SgTable } from '../dmabuf/sg-table.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import type { FdTable } from '../kernel/file.ts';
import { assertHeld } from '../kernel/mutex.ts';
import { Splat } from '../kernel/splat.ts';
import type { Thread } from '../kernel/thread.ts';
import { Work, type Workqueue } from '../kernel/workqueue.ts';

/**
 * - `prompt`: is told, and a worker unmaps as soon as it gets the lock.
 * - `late`: is told, and unmaps when it is called to, which may be after anything.
 * - `never`: is told, and unmaps only when it is repaired. A fault of the environment, not of the kernel.
 * - `untold`: dynamic, but cannot be told.
 * - `no peer`: is told, but does no peer-to-peer DMA.
 * - `static`: cannot be told, and pins to map.
 */
export const IMPORTER_KINDS = ['prompt', 'late', 'never', 'untold', 'no peer', 'static'] as const;
export type ImporterKind = (typeof IMPORTER_KINDS)[number];

/** Told of every callback, under the locks that it runs under. */
export type Watch = (importer: Importer) => void;

/** One device's driver, with at most one attachment. */
export class Importer {
  /** Whose DMA it is; it has the driver's name. */
  readonly dev: ImporterDevice;
  readonly kind: ImporterKind;
  readonly ops: ImporterOps | undefined;
  /** Present between attach and detach. Holds a reference of the buffer's file meanwhile. */
  attachment: Attachment | undefined;
  /** What it is attached to; its worker may come when the attachment is gone already, and finds nothing to do. */
  dmabuf: DmaBuf | undefined;
  /** Protected by dma_resv, as are the pins. */
  readonly maps: SgTable[] = [];
  pins = 0;
  readonly #unmapWork: Work;
  readonly #queue: Workqueue;
  readonly #watch: Watch | undefined;

  constructor(dev: ImporterDevice, kind: ImporterKind, queue: Workqueue, watch?: Watch) {
    this.dev = dev;
    this.kind = kind;
    this.#queue = queue;
    this.#watch = watch;
    this.#unmapWork = new Work(`worker of ${dev.name}`, () => importerUnmap(this));
    this.ops = this.#opsOf(kind);
  }

  #opsOf(kind: ImporterKind): ImporterOps | undefined {
    if (kind === 'static') return undefined;
    if (kind === 'untold') return { allowPeer2peer: true };
    return {
      allowPeer2peer: kind !== 'no peer',
      invalidateMappings: () => this.#invalidate(),
      unmappers: () => this.#unmapWork.holders(),
    };
  }

  /** The mapping ends. Waits for nothing: to unmap needs no more than the lock, which the exporter holds now. */
  *#invalidate(): Thread {
    assertHeld(resvOf(this));
    this.#watch?.(this);
    if (this.kind === 'prompt' && this.maps.length > 0) this.#queue.queue(this.#unmapWork);
  }

  /** `flush_work()` of the worker: `yield` it. */
  get worked(): Work {
    return this.#unmapWork;
  }
}

/** What the driver calls need: an importer that is attached. Fails: a Splat for one that is not */
const attachmentOf = ({ dev, attachment }: Importer): Attachment => attachment ?? notAttached(dev);
const resvOf = ({ dev, dmabuf }: Importer): Resv => (dmabuf ?? notAttached(dev)).resv;

function notAttached({ name }: ImporterDevice): never {
  throw new Splat('use after free', `${name} is not attached`);
}

/**
 * Attach to the buffer behind a descriptor. Until the detach the importer holds a reference of its file.
 * Locks: takes dma_resv
 * Fails: EBADF, EINVAL for what is no buffer; ENOMEM; whatever the exporter answers
 */
export function* importerAttach(importer: Importer, fds: FdTable, fd: number): Thread<Errno | undefined> {
  const dmabuf = dmaBufGet(fds, fd);
  if (isErrno(dmabuf)) return dmabuf;
  const attachment = yield* dynamicAttach(dmabuf, importer.dev, importer.ops, importer);
  if (isErrno(attachment)) {
    dmaBufPut(dmabuf);
    return attachment;
  }
  importer.attachment = attachment;
  importer.dmabuf = dmabuf;
  return undefined;
}

/** Ask the exporter not to move the buffer. Locks: takes dma_resv. Fails: as the exporter does */
export function* importerPin(importer: Importer): Thread<Errno | undefined> {
  const attachment = attachmentOf(importer);
  const resv = resvOf(importer);
  yield resv;
  try {
    const refused = pin(attachment);
    if (refused === undefined) importer.pins++;
    return refused;
  } finally {
    resv.release();
  }
}

/**
 * One more map. What the exporter has in flight is waited for with the lock held: nobody else does that for a dynamic
 * importer.
 * Locks: takes dma_resv
 * Fails: whatever the exporter answers; nothing is mapped then
 */
export function* importerMap(importer: Importer): Thread<Errno | undefined> {
  const attachment = attachmentOf(importer);
  const resv = resvOf(importer);
  yield resv;
  try {
    const table = yield* mapAttachment(attachment);
    if (isErrno(table)) return table;
    importer.maps.push(table);
    yield* resv.wait(USAGE.KERNEL);
    return undefined;
  } finally {
    resv.release();
  }
}

/** Unmap all that is mapped. Locks: takes dma_resv */
export function* importerUnmap(importer: Importer): Thread {
  const resv = resvOf(importer);
  yield resv;
  try {
    unmapAll(importer);
  } finally {
    resv.release();
  }
}

/** Locks: caller holds dma_resv */
function unmapAll(importer: Importer): void {
  const attachment = attachmentOf(importer);
  for (let map = importer.maps.pop(); map !== undefined; map = importer.maps.pop()) unmapAttachment(attachment, map);
}

/**
 * Give everything back: maps, pins, the attachment; then the worker ends, which a callback may have queued as long as
 * there was an attachment; and then the buffer goes.
 * Locks: takes dma_resv, twice
 */
export function* importerDetach(importer: Importer): Thread {
  const attachment = attachmentOf(importer);
  const { dmabuf } = attachment;
  yield dmabuf.resv;
  try {
    unmapAll(importer);
    for (; importer.pins > 0; importer.pins--) unpin(attachment);
  } finally {
    dmabuf.resv.release();
  }
  yield* detach(attachment);
  yield importer.worked;
  importer.attachment = undefined;
  importer.dmabuf = undefined;
  dmaBufPut(dmabuf);
}

/**
 * Work of the importer's device that uses the buffer until `fence` signals, whatever becomes of the mapping.
 * Locks: takes dma_resv
 * Fails: ENOMEM; the work is not begun then
 */
export function* importerSubmit(importer: Importer, fence: Fence, usage: Usage): Thread<Errno | undefined> {
  const resv = resvOf(importer);
  yield resv;
  try {
    const failed = resv.reserveFences(1);
    if (failed === undefined) resv.addFence(fence, usage);
    return failed;
  } finally {
    resv.release();
  }
}
