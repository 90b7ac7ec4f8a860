/** The world in which drivers' calls fail: beside the machine, what the drivers have. */
import { Fence, USAGE } from '../../impl/dmabuf/resv.ts';
import { type DmaToken, tokenRegister, tokenUnregister } from '../../impl/importers/dma-token.ts';
import { Importer, importerAttach, importerDetach, importerSubmit } from '../../impl/importers/importer.ts';
import type { DmaIommu } from '../../impl/iommu/dma-iommu.ts';
import {
  type MockAccess,
  mockCreateAccess,
  mockDestroyAccess,
  NEEDS_PIN_PAGES,
} from '../../impl/iommufd/mock-access.ts';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import { fromBigint } from '../../impl/kernel/units.ts';
import { Workqueue } from '../../impl/kernel/workqueue.ts';
import { PciFunction } from '../../impl/pci/topology.ts';
import type { Type1Container } from '../../impl/type1/container.ts';
import { attachGroup, openContainer } from '../../impl/type1/group.ts';
import { mapDma } from '../../impl/type1/map.ts';
import { unmapAllDma } from '../../impl/type1/unmap.ts';
import type { Command } from '../../trace/command.ts';
import { MEMORY } from '../unit/access-rig.ts';
import { A, CONFIG, Rig } from '../unit/iommufd-rig.ts';

/** Beside the two devices of iommufd, one that a container has. */
const MACHINE = {
  ...CONFIG,
  devices: new Map([
    ...CONFIG.devices,
    ['dev2', { bars: new Map(), group: 2, bus: 3, resets: ['flr'] as const }] as const,
  ]),
};

/** What a driver has done before. */
export type Driver = (world: World) => void;

/** With memory `m` and `f`, and what the scene has besides. */
export class World extends Rig {
  mock: MockAccess | undefined;
  importer: Importer | undefined;
  token: DmaToken | undefined;
  container: Type1Container | undefined;
  readonly #queue = new Workqueue();
  #fences = 0;

  constructor({ before, drivers = [] }: { readonly before: readonly Command[]; readonly drivers?: readonly Driver[] }) {
    super(MACHINE);
    this.must(...MEMORY, ...before);
    for (const driver of drivers) driver(this);
    this.calls();
  }

  /** The machine knows all who hold something of it, so that it can account for everything. */
  get known(): boolean {
    return this.importer === undefined && this.token === undefined && this.container === undefined;
  }

  *createAccess(): Thread<Errno | undefined> {
    const { ctx, id } = this.ioas();
    const mock = yield* mockCreateAccess(ctx, id, NEEDS_PIN_PAGES);
    if (isErrno(mock)) return mock;
    this.mock = mock;
    return undefined;
  }

  *attachImporter(dma?: DmaIommu): Thread<Errno | undefined> {
    const [parent = this.machine.hostBridge] = this.machine.rootPorts.values();
    const importer = new Importer(new PciFunction({ name: 'nic', parent, ...(dma && { dma }) }), 'late', this.#queue);
    const refused = yield* importerAttach(importer, this.machine.fds, this.#fd('buf'));
    if (refused === undefined) this.importer = importer;
    return refused;
  }

  *submit(): Thread<Errno | undefined> {
    const fence = new Fence('work', 1, ++this.#fences);
    const refused = yield* importerSubmit(this.importer as Importer, fence, USAGE.WRITE);
    // Work that is done at once, so that nobody waits for it.
    fence.signal();
    return refused;
  }

  *register(): Thread<Errno | undefined> {
    const [parent = this.machine.hostBridge] = this.machine.rootPorts.values();
    const dev = new PciFunction({ name: 'ssd', parent });
    const token = yield* tokenRegister(dev, this.machine.fds, this.#fd('buf'), this.#queue);
    if (isErrno(token)) return token;
    this.token = token;
    return undefined;
  }

  #fd(name: string): number {
    const named = this.machine.names.get(name);
    return named !== undefined && 'fd' in named ? named.fd : -1;
  }

  openContainer(): void {
    const { iommu, ram } = this.machine;
    function* open(): Thread<Type1Container> {
      return openContainer('container', iommu, ram, true);
    }
    this.container = this.call(open());
  }

  joinContainer(): Thread<Errno | undefined> {
    const device = this.machine.devices.get('dev2');
    if (device === undefined) throw new Error('dev2 is not there');
    return attachGroup(this.container as Type1Container, device.group, device.reserved);
  }

  mapDma(): Thread<Errno | undefined> {
    const named = this.machine.names.get('m');
    if (named?.kind !== 'mem') throw new Error('m is no memory');
    const args = { vaddr: named.address, iova: fromBigint(A), size: fromBigint(0x3000n), read: true, write: true };
    return mapDma(this.container as Type1Container, this.machine.process, args);
  }

  /** What the drivers have goes. */
  close(): void {
    if (this.mock !== undefined) this.call(mockDestroyAccess(this.mock));
    if (this.importer !== undefined) this.call(importerDetach(this.importer));
    if (this.token !== undefined) this.#unregister(this.token);
    if (this.container === undefined) return;
    this.call(unmapAllDma(this.container, fromBigint(0n), fromBigint(0n)));
    const { file } = this.container;
    function* put(): Thread {
      file.put();
    }
    this.call(put());
  }

  #unregister(token: DmaToken): void {
    this.call(tokenUnregister(token));
    for (let work = this.#queue.take(); work !== undefined; work = this.#queue.take()) this.call(work.thread());
  }
}
