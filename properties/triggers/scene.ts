/** Where sequences of triggers happen: devices, contexts, buffers with importers, a mapping of each open device. */
import { type Attachment, dynamicAttach, mapAttachment, unmapAttachment } from '../../impl/dmabuf/attachment.ts';
import { dmaBufOf } from '../../impl/dmabuf/dma-buf.ts';
import type { Fence } from '../../impl/dmabuf/resv.ts';
import type { SgTable } from '../../impl/dmabuf/sg-table.ts';
import { Iommu } from '../../impl/iommu/domain.ts';
import { IommuGroup } from '../../impl/iommu/group.ts';
import { IommufdCtx } from '../../impl/iommufd/context.ts';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import { featuresOf } from '../../impl/kernel/features.ts';
import { FdTable } from '../../impl/kernel/file.ts';
import { Mm, Ram } from '../../impl/kernel/mm.ts';
import { assertHeld } from '../../impl/kernel/mutex.ts';
import { assertHeldWrite } from '../../impl/kernel/rwsem.ts';
import { deadlock, drain, Kernel, switchTo, syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import { bytes, U64_MAX } from '../../impl/kernel/units.ts';
import type { Vma } from '../../impl/kernel/vma.ts';
import { HostBridge, PciFunction } from '../../impl/pci/topology.ts';
import { DevSet } from '../../impl/vfio/dev-set.ts';
import { PCI_AF_CAP_FLR, PCI_AF_CAP_TP, type VfioPciConfig, type VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { type VfioPciDmaBuf, vfioPciDmaBufOf } from '../../impl/vfio/pci-dmabuf.ts';
import { vfioPciProbe } from '../../impl/vfio/pci-probe.ts';
import type { Kind } from './step.ts';

export const BAR_SIZE = 0x4000;

/** An importer that unmaps when it is asked to, in the callback or, if it is `late`, when it is waited for. */
export interface Importer {
  readonly attachment: Attachment;
  readonly late: boolean;
  /** DMA maps that it has. */
  readonly tables: SgTable[];
  calls: number;
}

export interface Buffer {
  readonly fd: number;
  readonly priv: VfioPciDmaBuf;
  readonly importers: Importer[];
  readonly fences: Fence[];
  /** After the last step: how often it was revoked, its fences, whether it has lost its device. */
  seen: { readonly revocations: number; readonly fences: readonly Fence[]; readonly orphan: boolean };
  closed: boolean;
}

export class TriggerScene {
  readonly kernel: Kernel;
  readonly fds = new FdTable();
  readonly contexts: readonly IommufdCtx[];
  readonly devices: readonly VfioPciDevice[];
  readonly buffers: Buffer[] = [];
  readonly mm = new Mm(new Ram(2 ** 32, 2 ** 33));
  /** The mapping of each open device. */
  readonly mappings = new Map<VfioPciDevice, Vma>();
  /** Whose DMA all importers make. */
  readonly #nic: PciFunction;
  readonly #task: Task;
  /** Somebody else, for what happens while the task waits. */
  readonly #other: Task;

  constructor(kinds: readonly Kind[], version: string) {
    const features = featuresOf(version);
    if (features === undefined) throw new Error(`"${version}" is no kernel version`);
    this.kernel = new Kernel(features);
    this.#task = new Task('caller', this.kernel);
    this.#other = new Task('other', this.kernel);
    const iommu = new Iommu([0x1000], bytes(0), U64_MAX);
    this.contexts = this.within(() => ['ctx0', 'ctx1'].map((name) => new IommufdCtx(name, iommu)));
    const sets = [0, 1, 2].map((set) => new DevSet(`set${set}`));
    const groups = [0, 1, 2].map((group) => new IommuGroup(group));
    const host = new HostBridge({ vendor: 'other', family: 6 });
    const port = this.within(() => new PciFunction({ name: 'port', parent: host, type: 'root port' }));
    const below = (name: string, bars: PciFunction['bars']): PciFunction =>
      this.within(() => new PciFunction({ name, parent: port, bars }));
    this.#nic = below('nic', new Map());
    this.devices = kinds.map((kind, i) => {
      const pci = below(`dev${i}`, new Map([[2, { size: BAR_SIZE, phys: 2 ** 38 + i * 2 ** 20 }]]));
      const [devSet, group] = [sets[kind.set] as DevSet, groups[kind.group] as IommuGroup];
      const device = this.call(vfioPciProbe({ ...configOf(kind), pci, devSet, group, reserved: [] }));
      if (isErrno(device)) throw new Error(`the probe of dev${i} answers ${device}`);
      return device;
    });
  }

  /** A system call, during which importers do what they must. Fails with a Splat when it waits for ever. */
  call<T>(thread: Thread<T>): T {
    const whole = syscall(this.#task, () => thread);
    let at = this.#run(() => whole.next());
    while (at.done !== true) {
      const wanted = at.value;
      while (!wanted.ready()) if (!this.#help()) throw deadlock(this.#task, wanted);
      at = this.#run(() => {
        wanted.enter(this.#task);
        return whole.next();
      });
    }
    if (this.#task.held.length > 0) throw new Error(`${this.#task.name} ends with a lock held`);
    return at.value;
  }

  within<T>(work: () => T): T {
    return this.call(plain(work));
  }

  /** Somebody else's work, done at once. */
  elsewhere<T>(thread: Thread<T>): T {
    return drain(this.#other, () => syscall(this.#other, () => thread));
  }

  /** Hold memory_lock of a device for reading, as a page fault does; call the result to let go of it. */
  holdMemory({ memoryLock }: VfioPciDevice): () => void {
    const fault = new Task('fault', this.kernel);
    this.#as(fault, () => memoryLock.read.enter(fault));
    return () => this.#as(fault, () => memoryLock.releaseRead());
  }

  buffer(fd: number): Buffer {
    const file = this.fds.lookup(fd);
    const dmabuf = file && dmaBufOf(file);
    const priv = dmabuf && vfioPciDmaBufOf(dmabuf);
    if (priv === undefined) throw new Error(`${fd} is no exported buffer`);
    return { fd, priv, importers: [], fences: [], seen: { revocations: 0, fences: [], orphan: false }, closed: false };
  }

  *attach(buffer: Buffer, late: boolean): Thread<Errno | 'ok'> {
    const { dmabuf } = buffer.priv;
    const ops = { allowPeer2peer: true, invalidateMappings: (): Thread => invalidated(buffer, importer) };
    const attachment = yield* dynamicAttach(dmabuf, this.#nic, ops, undefined);
    if (isErrno(attachment)) return attachment;
    const importer: Importer = { attachment, late, tables: [], calls: 0 };
    buffer.importers.push(importer);
    return 'ok';
  }

  /** What is waited for happens: fences signal first, which needs no lock; then a late importer unmaps. */
  #help(): boolean {
    const fence = this.buffers.flatMap(({ fences }) => fences).find(({ signaled }) => !signaled);
    if (fence !== undefined) {
      fence.signal();
      return true;
    }
    const importer = this.buffers
      .filter(({ priv }) => priv.revoked)
      .flatMap(({ importers }) => importers)
      .find(({ tables }) => tables.length > 0);
    if (importer !== undefined) this.elsewhere(unmap(importer));
    return importer !== undefined;
  }

  #run<T>(work: () => T): T {
    return this.#as(this.#task, work);
  }

  #as<T>(task: Task, work: () => T): T {
    const before = switchTo(task);
    try {
      return work();
    } finally {
      switchTo(before);
    }
  }
}

const configOf = (kind: Kind): Omit<VfioPciConfig, 'pci' | 'devSet' | 'group' | 'reserved'> => ({
  resets: [...(kind.flr ? (['flr'] as const) : []), ...(kind.pmReset ? (['pm'] as const) : [])],
  afCap: kind.afFlr ? PCI_AF_CAP_FLR | PCI_AF_CAP_TP : 0,
  noCommandMemory: kind.virtual,
  powerStates: kind.d3hot ? [0, 1, 2, 3] : [0, 1, 2],
  ...(kind.linkFails && { hotResetErr: 'ENOTTY' as const }),
});

function* plain<T>(work: () => T): Thread<T> {
  return work();
}

/** V-33: with dma_resv held, and memory_lock for writing. */
function* invalidated({ priv }: Buffer, importer: Importer): Thread {
  assertHeld(priv.dmabuf.resv);
  if (priv.vdev !== undefined) assertHeldWrite(priv.vdev.memoryLock);
  importer.calls++;
  if (importer.late) return;
  for (const table of importer.tables.splice(0)) unmapAttachment(importer.attachment, table);
}

export function* map(importer: Importer): Thread<Errno | 'ok'> {
  const { resv } = importer.attachment.dmabuf;
  yield resv;
  try {
    const table = yield* mapAttachment(importer.attachment);
    if (isErrno(table)) return table;
    importer.tables.push(table);
    return 'ok';
  } finally {
    resv.release();
  }
}

/** Unmap one of its maps, if it has any. */
export function* unmap(importer: Importer): Thread {
  const table = importer.tables.pop();
  if (table === undefined) return;
  const { resv } = importer.attachment.dmabuf;
  yield resv;
  try {
    unmapAttachment(importer.attachment, table);
  } finally {
    resv.release();
  }
}
