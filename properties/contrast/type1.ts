/** The BAR by type 1: a container maps an address of the process, whatever lies there. */
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import { drain, syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import { fromBigint, toBigint } from '../../impl/kernel/units.ts';
import type { Type1Container } from '../../impl/type1/container.ts';
import { attachGroup, openContainer } from '../../impl/type1/group.ts';
import { mapDma } from '../../impl/type1/map.ts';
import { unmapDma } from '../../impl/type1/unmap.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { vfioGroupGetDevice } from '../../impl/vfio/vfio-device.ts';
import { showHex } from '../../trace/show.ts';
import { barStart, holds, Lane, type Line, OWNER, PEER, PLACE_LENGTH } from './lane.ts';

export class Type1Lane extends Lane {
  readonly name = 'type 1';
  readonly container: Type1Container;

  constructor() {
    super();
    const { machine } = this;
    this.container = this.within(() => openContainer('container', machine.iommu, machine.ram));
    this.within(() => machine.fds.install(this.container.file));
    for (const dev of [OWNER, PEER]) {
      const { group, reserved } = this.machine.devices.get(dev) as VfioPciDevice;
      this.call(attachGroup(this.container, group, reserved));
      this.#open(dev);
    }
  }

  /** A whole system call with nobody else on the machine. */
  call<T>(thread: Thread<T>): T {
    const task = new Task('process', this.machine.kernel);
    return drain(task, () => syscall(task, () => thread));
  }

  /** The same of what waits for nothing. */
  within<T>(work: () => T): T {
    return this.call(plain(work));
  }

  protected mapDma({ name, length }: { name: string; length: bigint }, iova: bigint): Line[] {
    const named = this.machine.names.get(name);
    if (named?.kind !== 'mem') return [];
    const args = { vaddr: named.address, iova: fromBigint(iova), size: fromBigint(length), read: true, write: true };
    const answer = this.call(mapDma(this.container, this.machine.process, args)) ?? 'ok';
    return [{ shown: `MAP_DMA ${name} length ${showHex(length)} at ${showHex(iova)}`, answer }];
  }

  protected unmapDma(iova: bigint): Line {
    const unmapped = this.call(unmapDma(this.container, fromBigint(iova), fromBigint(PLACE_LENGTH)));
    const answer = isErrno(unmapped) ? unmapped : `ok ${showHex(toBigint(unmapped))} bytes`;
    return { shown: `UNMAP_DMA ${showHex(iova)} length ${showHex(PLACE_LENGTH)}`, answer };
  }

  protected openDev(): Line[] {
    return this.machine.names.has(OWNER) ? [] : [{ shown: `open ${OWNER}`, answer: this.#open(OWNER) }];
  }

  #open(dev: string): 'ok' | Errno {
    const { machine } = this;
    const file = this.call(vfioGroupGetDevice(machine.devices.get(dev) as VfioPciDevice, this.container.file));
    if (isErrno(file)) return file;
    const fd = this.within(() => machine.fds.install(file));
    if (isErrno(fd)) return fd;
    machine.names.set(dev, { kind: 'device', fd });
    return 'ok';
  }

  /** The mapping of the process by which the page number was found. */
  protected lost(owner: VfioPciDevice, offset: bigint): string | undefined {
    const phys = barStart(owner) + Number(offset);
    const shown = owner.mapping.vmas.some((vma) => holds(vma.ops.pfnOf(vma, vma.startPage) ?? 0, vma.npages, phys));
    return shown ? undefined : 'no mapping of the process is left';
  }
}

function* plain<T>(work: () => T): Thread<T> {
  return work();
}
