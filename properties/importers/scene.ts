/**
 * Where sequences with importers begin: two exporting devices on one bus or on two, and a third, never closed, whose
 * DMA goes through an IOAS.
 */
import { Threads } from '../../explore/threads.ts';
import type { Fence } from '../../impl/dmabuf/resv.ts';
import { Importer, type ImporterKind } from '../../impl/importers/importer.ts';
import { DmaDirect } from '../../impl/iommu/dma-direct.ts';
import { syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import { Workqueue } from '../../impl/kernel/workqueue.ts';
import { Machine } from '../../impl/machine.ts';
import { PciFunction } from '../../impl/pci/topology.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import type { VfioPciDmaBuf } from '../../impl/vfio/pci-dmabuf.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import { newBus, OracleDevice } from './devices.ts';
import { Oracle } from './oracle.ts';

export const EXPORTERS: readonly string[] = ['dev0', 'dev1'];
/** Whose DMA shows what is mapped. */
export const VICTIM = 'dev2';

/** dev1 has no reset of its own, but that of its bus. */
const configOf = (oneBus: boolean): MachineConfig => ({
  pageSize: 0x1000n,
  pageSizes: [0x1000n],
  aperture: [0n, (1n << 48n) - 1n],
  reserved: [],
  devices: new Map([
    ['dev0', { bars: new Map([[2, 0x10_0000n]]), resets: ['flr', 'bus'], group: 0, bus: 1 }],
    ['dev1', { bars: new Map([[2, 0x10_0000n]]), resets: ['bus'], group: 1, bus: oneBus ? 1 : 2 }],
    [VICTIM, { bars: new Map(), resets: ['flr'], group: 2, bus: 3 }],
  ]),
});

export class Scene {
  readonly machine: Machine;
  readonly oracle: Oracle;
  readonly devices: readonly OracleDevice[];
  readonly workers = new Workqueue();
  readonly threads: Threads<string>;
  readonly importers = new Map<string, Importer>();
  /** What each importer's device can reach by DMA, whether it is still attached or not. */
  readonly dma = new Map<string, DmaDirect>();
  readonly fences = new Map<string, Fence>();
  /** Buffers by their own names. */
  readonly buffers = new Map<string, VfioPciDmaBuf>();
  /** Who was called back, in order, and what was wrong with how. */
  readonly callbacks: string[] = [];
  readonly wrong: string[] = [];
  /** Below it are the importers' devices, which the host bridge connects to all others. */
  readonly #port: PciFunction;

  constructor(oneBus: boolean, kernel: string) {
    this.machine = new Machine(configOf(oneBus), kernel);
    this.oracle = new Oracle(kernel);
    this.#port = new PciFunction({ name: 'port', parent: this.machine.hostBridge, type: 'root port' });
    const first = newBus('bus1');
    const second = oneBus ? first : newBus('bus2');
    this.devices = [
      new OracleDevice('dev0', this.oracle, first, true),
      new OracleDevice('dev1', this.oracle, second, false),
    ];
    this.threads = new Threads(() => {
      const work = this.workers.take();
      return work && this.branch(work.name, done(work.thread()));
    });
    this.#set();
  }

  #set(): void {
    const commands: Command[] = [
      { do: 'iommufd_open', as: 'ctx' },
      { do: 'ioas_alloc', ctx: 'ctx', as: 'a' },
      ...[...EXPORTERS, VICTIM].flatMap((dev): Command[] => [
        { do: 'vfio_open', dev },
        { do: 'vfio_bind', dev, ctx: 'ctx' },
      ]),
      { do: 'vfio_attach', dev: VICTIM, pt: 'a' },
    ];
    for (const command of commands) {
      const result = this.machine.execute(command);
      if ('err' in result) throw new Error(`the scene cannot be set: ${command.do} answers ${result.err}`);
    }
  }

  /** A system call, or work, as a thread of its own. */
  branch(name: string, thread: Thread<string>): { readonly task: Task; readonly thread: Thread<string> } {
    const task = new Task(name, this.machine.kernel);
    return { task, thread: syscall(task, () => thread) };
  }

  device(name: string): VfioPciDevice {
    return this.machine.devices.get(name) as VfioPciDevice;
  }

  oracleDevice(name: string): OracleDevice {
    return this.devices.find((device) => device.name === name) as OracleDevice;
  }

  addImporter(name: string, kind: ImporterKind): Importer {
    const dma = new DmaDirect();
    this.dma.set(name, dma);
    const dev = new PciFunction({ name, parent: this.#port, dma });
    const importer = new Importer(dev, kind, this.workers, (it) => this.#called(it));
    this.importers.set(name, importer);
    return importer;
  }

  /** V-33: whoever is called back is attached, and the caller has both locks. */
  #called({ dev: { name }, attachment }: Importer): void {
    const dmabuf = attachment?.dmabuf;
    this.callbacks.push(`${name} of ${dmabuf?.name}`);
    const owner = EXPORTERS.map((dev) => this.device(dev)).find((it) =>
      it.dmabufs.some((priv) => priv.dmabuf === dmabuf),
    );
    if (dmabuf?.resv.locked !== true) this.wrong.push(`${name} is called without dma_resv`);
    if (owner?.memoryLock.locked !== true) this.wrong.push(`${name} is called without memory_lock`);
    if (attachment !== undefined && dmabuf?.isAttached(attachment) !== true)
      this.wrong.push(`${name} is called after its detach`);
  }
}

export function* done(thread: Thread): Thread<string> {
  yield* thread;
  return 'ok';
}
