/** What the tests of type 1 share: a machine with two devices in one container, and its calls in short. */
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import type { Mm } from '../../impl/kernel/mm.ts';
import { mmap } from '../../impl/kernel/mmap.ts';
import { munmap } from '../../impl/kernel/munmap.ts';
import { drain, syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import { add, fromBigint, toBigint, type UserAddr, u64 } from '../../impl/kernel/units.ts';
import type { Vma } from '../../impl/kernel/vma.ts';
import { Machine } from '../../impl/machine.ts';
import type { Type1Container } from '../../impl/type1/container.ts';
import { attachGroup, openContainer } from '../../impl/type1/group.ts';
import { mapDma } from '../../impl/type1/map.ts';
import { unmapAllDma, unmapDma } from '../../impl/type1/unmap.ts';
import { vfioRegionOffset } from '../../impl/vfio/ioctl.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { vfioGroupGetDevice } from '../../impl/vfio/vfio-device.ts';
import { reachOf } from '../../properties/observe.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import { showReach } from '../../trace/show.ts';

export const P = 0x1000n;
export const IOVA = 0x100_0000n;

const device = (group: number, size: bigint): NonNullable<ReturnType<MachineConfig['devices']['get']>> => ({
  bars: new Map([[2, size]]),
  group,
  bus: group,
  resets: ['flr', 'pm'],
});
/** BAR 2 of dev0 has leaves of 2 MiB. */
const CONFIG: MachineConfig = {
  pageSize: P,
  pageSizes: [P, 0x20_0000n],
  aperture: [0n, (1n << 48n) - 1n],
  reserved: [[0xfee0_0000n, 0xfeef_ffffn]],
  devices: new Map([
    ['dev0', device(0, 0x40_0000n)],
    ['dev1', device(1, 0x4000n)],
  ]),
};

export interface MapHow {
  readonly size?: bigint;
  readonly iova?: bigint;
  readonly prot?: 'r' | 'w' | 'rw' | '';
}

export class Type1Rig {
  readonly machine = new Machine(CONFIG, '7.3');
  readonly container: Type1Container;

  constructor({ v2 = true, attached = true } = {}) {
    const { iommu, ram, fds } = this.machine;
    this.container = this.within(() => openContainer('container', iommu, ram, v2));
    const fd = this.within(() => fds.install(this.container.file));
    if (!isErrno(fd)) this.machine.names.set('container', { kind: 'file', fd });
    if (attached) for (const dev of ['dev0', 'dev1']) this.join(dev);
  }

  call<T>(thread: Thread<T>): T {
    const task = new Task('process', this.machine.kernel);
    return drain(task, () => syscall(task, () => thread));
  }

  within<T>(work: () => T): T {
    return this.call(plain(work));
  }

  /** The device's group comes into the container, and the device is opened. */
  join(dev: string): void {
    const refused = this.attach(dev) ?? this.open(dev);
    if (refused !== undefined) throw new Error(`${dev}: ${refused}`);
  }

  attach(dev: string): Errno | undefined {
    const { group, reserved } = this.device(dev);
    return this.call(attachGroup(this.container, group, reserved));
  }

  open(dev: string): Errno | undefined {
    const file = this.call(vfioGroupGetDevice(this.device(dev), this.container.file));
    if (isErrno(file)) return file;
    const fd = this.within(() => this.machine.fds.install(file));
    if (isErrno(fd)) return fd;
    this.machine.names.set(dev, { kind: 'device', fd });
    return undefined;
  }

  device(dev = 'dev0'): VfioPciDevice {
    return this.machine.devices.get(dev) as VfioPciDevice;
  }

  get mm(): Mm {
    return this.machine.mm;
  }

  must(command: Command): void {
    const result = this.machine.execute(command);
    if ('err' in result) throw new Error(`${command.do} answers ${result.err}`);
  }

  /** Anonymous memory. */
  memory(length: bigint, name = 'm'): UserAddr {
    this.must({ do: 'mem_alloc', as: name, length });
    return this.addressOf(name);
  }

  addressOf(name: string): UserAddr {
    const named = this.machine.names.get(name);
    if (named?.kind !== 'mem') throw new Error(`${name} is no memory`);
    return named.address;
  }

  /** A mapping of BAR 2. */
  bar(length = P, offset = 0n, { write = true, dev = 'dev0' } = {}): Vma {
    const device = this.device(dev);
    const start = this.call(vfioRegionOffset(device, 2));
    const file = device.file?.file;
    if (isErrno(start) || file === undefined) throw new Error(`${dev} is not open`);
    const args = { length: fromBigint(length), offset: add(start, fromBigint(offset)), shared: true, write };
    const vma = this.call(mmap(this.mm, file, args));
    if (isErrno(vma)) throw new Error(`mmap answers ${vma}`);
    return vma;
  }

  munmap({ startPage, npages }: Pick<Vma, 'startPage' | 'npages'>): void {
    const refused = this.call(munmap(this.mm, u64(startPage, 0), u64(npages, 0)));
    if (refused !== undefined) throw new Error(`munmap answers ${refused}`);
  }

  map(at: Vma | UserAddr, { size = P, iova = IOVA, prot = 'rw' }: MapHow = {}): Errno | 'ok' {
    const vaddr = 'startPage' in at ? u64(at.startPage, 0) : at;
    const args = {
      vaddr,
      iova: fromBigint(iova),
      size: fromBigint(size),
      read: prot.includes('r'),
      write: prot.includes('w'),
    };
    return this.call(mapDma(this.container, this.machine.process, args)) ?? 'ok';
  }

  unmap(iova = IOVA, size = P): bigint | Errno {
    const unmapped = this.call(unmapDma(this.container, fromBigint(iova), fromBigint(size)));
    return isErrno(unmapped) ? unmapped : toBigint(unmapped);
  }

  unmapAll(iova = 0n, size = 0n): bigint | Errno {
    const unmapped = this.call(unmapAllDma(this.container, fromBigint(iova), fromBigint(size)));
    return isErrno(unmapped) ? unmapped : toBigint(unmapped);
  }

  /** What dev1 reaches. */
  get reach(): string[] {
    return reachOf(this.machine, 'dev1').map(showReach);
  }

  /** Pages that somebody has pinned. */
  get pinned(): number {
    return this.machine.ram.backings.reduce((sum, { pinned }) => sum + pinned, 0);
  }

  /** How many calls have reached domains since the last time. */
  get calls(): string[] {
    return this.machine.takeCalls().map(({ op, length }) => `${op} 0x${length.toString(16)}`);
  }
}

function* plain<T>(work: () => T): Thread<T> {
  return work();
}
