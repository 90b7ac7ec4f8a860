/** A device with a buffer, importers of every kind, and calls as threads that may wait. */
import { blame } from '../../explore/blame.ts';
import type { Branch } from '../../explore/interleave.ts';
import { Threads } from '../../explore/threads.ts';
import { Fence, type Usage } from '../../impl/dmabuf/resv.ts';
import {
  Importer,
  type ImporterKind,
  importerAttach,
  importerMap,
  importerSubmit,
} from '../../impl/importers/importer.ts';
import type { Features } from '../../impl/kernel/features.ts';
import { syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import { Workqueue } from '../../impl/kernel/workqueue.ts';
import {
  vfioConfigFlr,
  vfioConfigMemory,
  vfioConfigPower,
  vfioDeviceReset,
  vfioHotReset,
  vfioLowPowerEntry,
} from '../../impl/vfio/ioctl.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { type Exported, Rig } from './vfio-rig.ts';

/** Every call that takes a device's memory away. */
export const TRIGGERS: readonly (readonly [name: string, call: (device: VfioPciDevice) => Thread<unknown>])[] = [
  ['memory off', (device) => vfioConfigMemory(device, false)],
  ['reset', vfioDeviceReset],
  ['FLR', vfioConfigFlr],
  ['D3hot', (device) => vfioConfigPower(device, 3)],
  ['low power entry', (device) => vfioLowPowerEntry(device, false)],
  ['hot reset', vfioHotReset],
  ['close', closeDevice],
];

/** close(2) of the device's one descriptor. */
function* closeDevice({ file }: VfioPciDevice): Thread {
  file?.file.put();
}

export class ImporterRig {
  readonly rig: Rig;
  readonly device: VfioPciDevice;
  readonly buffer: Exported;
  readonly workers = new Workqueue();
  /** Who was called back, in order. */
  readonly callbacks: string[] = [];
  readonly #threads: Threads<unknown>;

  constructor(features?: Features) {
    this.rig = new Rig(features);
    this.device = this.rig.opened();
    this.buffer = this.rig.exported(this.device);
    this.#threads = new Threads(() => {
      const work = this.workers.take();
      return work && this.branch(work.name, work.thread());
    });
  }

  branch<T>(name: string, thread: Thread<T>): Branch<T> {
    const task = new Task(name, this.rig.kernel);
    return { task, thread: syscall(task, () => thread) };
  }

  /** Start a call, and run everybody as far as they go; those who have returned. */
  start(name: string, thread: Thread<unknown>): string[] {
    this.#threads.start(this.branch(name, thread));
    return this.settle();
  }

  settle(): string[] {
    return this.#threads.settle(0).map((ended) => ended.name);
  }

  get waiting(): string[] {
    return blame(this.#threads.waiting);
  }

  /** A driver that is not attached. */
  importer(kind: ImporterKind, name: string = kind): Importer {
    return new Importer(this.rig.pci({ name }), kind, this.workers, (it) => this.callbacks.push(it.dev.name));
  }

  attached(kind: ImporterKind, name: string = kind, fd: number = this.buffer.fd): Importer {
    const importer = this.importer(kind, name);
    const refused = this.rig.call(importerAttach(importer, this.rig.fds, fd));
    if (refused !== undefined) throw new Error(`attach answers ${refused}`);
    return importer;
  }

  mapped(kind: ImporterKind, name: string = kind, fd: number = this.buffer.fd): Importer {
    const importer = this.attached(kind, name, fd);
    const refused = this.rig.call(importerMap(importer));
    if (refused !== undefined) throw new Error(`map answers ${refused}`);
    return importer;
  }

  /** Work of an importer that goes on until the fence signals. */
  working(importer: Importer, usage: Usage, name = 'work'): Fence {
    const fence = new Fence(name, contexts++, 1);
    const refused = this.rig.call(importerSubmit(importer, fence, usage));
    if (refused !== undefined) throw new Error(`submit answers ${refused}`);
    return fence;
  }
}

let contexts = 1;
