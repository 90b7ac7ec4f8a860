/** The raw system calls of one process, each from entry to return with nobody else on the machine. */
import { IommufdCtx } from '../iommufd/context.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import type { File } from '../kernel/file.ts';
import { drain, syscall, Task, type Thread } from '../kernel/thread.ts';
import type { U64 } from '../kernel/units.ts';
import type { Machine } from '../machine.ts';
import { vfioDeviceOpen } from '../vfio/vfio-device.ts';
import type { Caller } from './caller.ts';
import { ioctl } from './ioctl.ts';
import { UserMemory } from './user-memory.ts';

const DEVICES = '/dev/vfio/devices/';

export class SystemCalls implements Caller {
  readonly machine: Machine;
  readonly memory = new UserMemory();
  readonly #task: Task;
  #named = 0;

  constructor(machine: Machine) {
    this.machine = machine;
    this.#task = new Task('caller', machine.kernel);
  }

  nameFor(kind: 'ioas' | 'hwpt'): string {
    return `${kind}#${++this.#named}`;
  }

  /** ioctl(2): 0 or more, or an errno. */
  ioctl(fd: number, number: number, argument: U64): number | Errno {
    return this.call(() => ioctl(this, fd, number, argument));
  }

  /** open(2) of `/dev/iommu`, `/dev/vfio/vfio`, or `/dev/vfio/devices/` and the name of a device. */
  open(path: string): number | Errno {
    return this.call(() => open(this.machine, path));
  }

  close(fd: number): Errno | undefined {
    return this.call(() => close(this.machine, fd));
  }

  /** Kernel code as a system call of this process. */
  call<T>(operation: () => Thread<T>): T {
    return drain(this.#task, () => syscall(this.#task, operation));
  }
}

function* open(machine: Machine, path: string): Thread<number | Errno> {
  const file = path.startsWith(DEVICES)
    ? yield* openDevice(machine, path.slice(DEVICES.length))
    : openContext(machine, path);
  if (isErrno(file)) return file;
  const fd = machine.fds.install(file);
  if (isErrno(fd)) file.put();
  return fd;
}

/** What is charged for pinned memory is the process, in a context that stands in for a VFIO container. */
function openContext(machine: Machine, path: string): File | Errno {
  if (path !== '/dev/iommu' && path !== '/dev/vfio/vfio') return 'ENOENT';
  const ctx = new IommufdCtx(path, machine.iommu, (it) => machine.contexts.delete(it));
  if (path === '/dev/vfio/vfio') ctx.accountMode = 'mm';
  machine.contexts.add(ctx);
  return ctx.file;
}

/** A device has one open file at a time, as in traces. */
function* openDevice(machine: Machine, name: string): Thread<File | Errno> {
  const device = machine.devices.get(name);
  if (device === undefined) return 'ENOENT';
  return device.file === undefined ? yield* vfioDeviceOpen(device) : 'EBUSY';
}

function* close(machine: Machine, fd: number): Thread<Errno | undefined> {
  return machine.fds.close(fd);
}
