/** What unit tests of the exporter's side share: a machine with vfio-pci devices, importers, and threads by hand. */
import {
  type Attachment,
  dynamicAttach,
  type ImporterDevice,
  mapAttachment,
  unmapAttachment,
} from '../../impl/dmabuf/attachment.ts';
import { type DmaBuf, dmaBufOf } from '../../impl/dmabuf/dma-buf.ts';
import { Fence, type Usage } from '../../impl/dmabuf/resv.ts';
import type { SgTable } from '../../impl/dmabuf/sg-table.ts';
import { IommuGroup } from '../../impl/iommu/group.ts';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import { DEFAULT_FEATURES, type Features } from '../../impl/kernel/features.ts';
import { FdTable, type File } from '../../impl/kernel/file.ts';
import type { Mutex } from '../../impl/kernel/mutex.ts';
import { drain, Kernel, switchTo, syscall, Task, type Thread, type WaitPoint } from '../../impl/kernel/thread.ts';
import { fromBigint, ZERO } from '../../impl/kernel/units.ts';
import { HostBridge, type PciConfig, PciFunction } from '../../impl/pci/topology.ts';
import { DevSet } from '../../impl/vfio/dev-set.ts';
import { vfioExport } from '../../impl/vfio/ioctl.ts';
import type { VfioPciConfig, VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { type VfioPciDmaBuf, vfioPciDmaBufOf } from '../../impl/vfio/pci-dmabuf.ts';
import type { DmaRange } from '../../impl/vfio/pci-dmabuf-ranges.ts';
import { vfioPciProbe } from '../../impl/vfio/pci-probe.ts';
import { vfioDeviceBind, vfioDeviceOpen } from '../../impl/vfio/vfio-device.ts';
import { fakeIommufd } from './vfio-fake-iommufd.ts';

export const BAR_SIZE = 0x1000000;
export const BAR_START = 0x4000000000;
const BARS = new Map([[2, { size: BAR_SIZE, phys: BAR_START }]]);

/** What may be said of a device; the rest is as in most tests. */
export type DeviceConfig = Partial<Omit<VfioPciConfig, 'pci'>> & {
  readonly name?: string;
  readonly bars?: PciConfig['bars'];
  readonly place?: Partial<PciConfig>;
};

/** A system call that is run by hand, one stretch between two waits at a time. */
export class Actor<T> {
  readonly task: Task;
  readonly #thread: Thread<T>;
  #wanted: WaitPoint | undefined;
  #answer: { readonly value: T } | undefined;

  constructor(kernel: Kernel, name: string, thread: Thread<T>) {
    this.task = new Task(name, kernel);
    this.#thread = syscall(this.task, () => thread);
  }

  /** Run until it returns, or until it wants what it cannot have; whether it has returned. */
  run(): boolean {
    while (this.#answer === undefined && (this.#wanted?.ready() ?? true)) this.#advance();
    return this.done;
  }

  /** Run until it wants something of which the name ends so; it has not entered it. */
  runTo(name: string): void {
    while (!this.#wanted?.name.endsWith(name)) {
      if (this.done || !(this.#wanted?.ready() ?? true)) throw new Error(`${this.task.name} does not get to ${name}`);
      this.#advance();
    }
  }

  /** What it wants, by name, and has not entered. */
  get waitsFor(): string | undefined {
    return this.#wanted?.name;
  }

  get done(): boolean {
    return this.#answer !== undefined;
  }

  get answer(): T {
    if (this.#answer === undefined) throw new Error(`${this.task.name} waits for ${this.#wanted?.name}`);
    return this.#answer.value;
  }

  #advance(): void {
    const before = switchTo(this.task);
    try {
      this.#wanted?.enter(this.task);
      const at = this.#thread.next();
      if (at.done === true) this.#answer = { value: at.value };
      else this.#wanted = at.value;
    } finally {
      switchTo(before);
    }
  }
}

/** A machine: everything that a test needs to open devices, to export, and to import. */
export class Rig {
  readonly kernel: Kernel;
  readonly fds = new FdTable();
  readonly devSet = new DevSet('bus1');
  readonly group = new IommuGroup(1);
  readonly ctx: File = fakeIommufd('ctx');
  readonly host = new HostBridge({ vendor: 'other', family: 6 });
  /** A port without redirection, so that functions below it reach each other by the bus. */
  readonly port = new PciFunction({ name: 'port', parent: this.host, type: 'root port' });

  constructor(features: Features = DEFAULT_FEATURES) {
    this.kernel = new Kernel(features);
  }

  /** Any function, below the one switch unless it says otherwise. */
  pci(config: Partial<PciConfig> & { readonly name: string }): PciFunction {
    return new PciFunction({ parent: this.port, ...config });
  }

  /** A function under vfio-pci. */
  device({ name = 'dev0', bars = BARS, place, ...config }: DeviceConfig = {}): VfioPciDevice {
    const device = this.call(
      vfioPciProbe({
        pci: this.pci({ name, bars, ...place }),
        group: this.group,
        reserved: [],
        devSet: this.devSet,
        resets: ['flr', 'pm', 'bus'],
        ...config,
      }),
    );
    if (isErrno(device)) throw new Error(`probe answers ${device}`);
    return device;
  }

  /** A device that is open and bound. */
  opened(config: DeviceConfig = {}): VfioPciDevice {
    const device = this.device(config);
    this.call(vfioDeviceOpen(device));
    const refused = this.call(vfioDeviceBind(device, () => this.ctx));
    if (refused !== undefined) throw new Error(`bind answers ${refused}`);
    return device;
  }

  /** A whole system call with nobody else on the machine. */
  call<T>(thread: Thread<T>): T {
    const task = new Task('caller', this.kernel);
    return drain(task, () => syscall(task, () => thread));
  }

  /** A system call that is run by hand. */
  actor<T>(name: string, thread: Thread<T>): Actor<T> {
    return new Actor(this.kernel, name, thread);
  }

  /** Kernel code that waits for nothing. */
  within<T>(work: () => T): T {
    return this.call(plain(work));
  }

  /** Kernel code under a lock that is free. */
  holding<T>(lock: Mutex, work: () => T | Thread<T>): T {
    return this.call(underLock(lock, work));
  }

  close(device: VfioPciDevice): void {
    const df = device.file;
    if (df === undefined) throw new Error(`${device.name} is not open`);
    this.within(() => df.file.put());
  }

  closeFd(fd: number): void {
    this.within(() => this.fds.close(fd));
  }

  /** Export ranges of BAR 2; each is [offset, length]. */
  tryExport(device: VfioPciDevice, ranges: readonly (readonly [bigint, bigint])[], region = 2): number | Errno {
    return this.call(vfioExport(device, region, dmaRanges(ranges), ZERO, this.fds));
  }

  /** Export, and look behind the descriptor. */
  exported(device: VfioPciDevice, ranges: readonly (readonly [bigint, bigint])[] = [[0n, 0x1000n]]): Exported {
    const fd = this.tryExport(device, ranges);
    if (isErrno(fd)) throw new Error(`export answers ${fd}`);
    return this.behind(fd);
  }

  behind(fd: number): Exported {
    const file = this.fds.lookup(fd);
    const dmabuf = file && dmaBufOf(file);
    const priv = dmabuf && vfioPciDmaBufOf(dmabuf);
    if (priv === undefined) throw new Error(`${fd} is no exported buffer`);
    return { fd, priv, dmabuf: priv.dmabuf };
  }

  /** Put an unsignaled fence into the buffer. */
  fence({ dmabuf }: Exported, usage: Usage): Fence {
    const fence = new Fence('work', nextContext++, 1);
    this.holding(dmabuf.resv, () => {
      dmabuf.resv.reserveFences(1);
      dmabuf.resv.addFence(fence, usage);
    });
    return fence;
  }

  /** By a function below the same port, unless another device is given. */
  attach(buffer: Exported, dev: ImporterDevice = this.pci({ name: 'importer' })): Importer {
    const importer = new Importer();
    const attachment = this.call(dynamicAttach(buffer.dmabuf, dev, importer.ops, importer));
    if (isErrno(attachment)) throw new Error(`attach answers ${attachment}`);
    importer.attachment = attachment;
    return importer;
  }

  map({ attachment }: Importer): SgTable | Errno {
    return this.holding(attachment.dmabuf.resv, () => mapAttachment(attachment));
  }

  unmap({ attachment }: Importer, table: SgTable | Errno): void {
    if (isErrno(table)) throw new Error(`there is no map: ${table}`);
    this.holding(attachment.dmabuf.resv, () => unmapAttachment(attachment, table));
  }
}

let nextContext = 1;

export interface Exported {
  readonly fd: number;
  readonly priv: VfioPciDmaBuf;
  readonly dmabuf: DmaBuf;
}

/** A revocable importer that counts its callbacks, and may look around in them. */
export class Importer {
  attachment!: Attachment;
  calls = 0;
  onInvalidate: (() => void) | undefined;
  readonly ops = {
    allowPeer2peer: true,
    invalidateMappings: (attachment: Attachment): Thread => this.#invalidate(attachment),
  };

  *#invalidate(_: Attachment): Thread {
    this.calls++;
    this.onInvalidate?.();
  }
}

export const dmaRanges = (ranges: readonly (readonly [bigint, bigint])[]): DmaRange[] =>
  ranges.map(([offset, length]) => ({ offset: fromBigint(offset), length: fromBigint(length) }));

function* plain<T>(work: () => T): Thread<T> {
  return work();
}

function* underLock<T>(lock: Mutex, work: () => T | Thread<T>): Thread<T> {
  yield lock;
  try {
    const made = work();
    return isThread(made) ? yield* made : made;
  } finally {
    lock.release();
  }
}

const isThread = <T>(made: T | Thread<T>): made is Thread<T> =>
  typeof made === 'object' && made !== null && Symbol.iterator in made && 'next' in made;

/** A thread that takes a lock, and lets go of it when `done` is complete. */
export function* holdUntil(lock: WaitPoint, release: () => void, done: WaitPoint): Thread {
  yield lock;
  try {
    yield done;
  } finally {
    release();
  }
}
