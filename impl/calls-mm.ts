/** System calls and accesses that concern the address space of the process. */
import type { Result } from '../trace/answer.ts';
import type { BarMmap, Exit, FdMmap, Fork, Handle, Munmap, Peek } from '../trace/command.ts';
import { DONE, fileOf, openedDevice } from './handles.ts';
import { isErrno } from './kernel/errno.ts';
import { touch } from './kernel/fault.ts';
import type { File } from './kernel/file.ts';
import { physOf } from './kernel/mm.ts';
import { mmap } from './kernel/mmap.ts';
import { munmap } from './kernel/munmap.ts';
import type { Thread } from './kernel/thread.ts';
import { addWrapping, type Bytes, fromBigint, u64 } from './kernel/units.ts';
import type { Machine } from './machine.ts';
import { vfioRegionOffset } from './vfio/ioctl.ts';

/** VFIO_DEVICE_GET_REGION_INFO says where the BAR begins in the device file; mmap(2) from there on. */
export function* mapBar(machine: Machine, { dev, region, offset, length, as }: BarMmap): Thread<Result> {
  const device = openedDevice(machine, dev);
  if (isErrno(device)) return { err: device };
  const start = yield* vfioRegionOffset(device, region);
  if (isErrno(start)) return { err: start };
  return yield* mapAs(machine, fileOf(machine, dev, 'device'), addWrapping(start, fromBigint(offset)), length, as);
}

/** mmap(2) of any other file. */
export function mapFd(machine: Machine, { fd, offset, length, as }: FdMmap): Thread<Result> {
  return mapAs(machine, fileOf(machine, fd, 'file'), fromBigint(offset), length, as);
}

/** The call holds the file while it lasts, and the mapping for itself from then on. */
function* mapAs(machine: Machine, file: File | undefined, offset: Bytes, length: bigint, as: Handle): Thread<Result> {
  if (file === undefined) return { err: 'EBADF' };
  file.get();
  const size = fromBigint(length);
  const vma = yield* mmap(machine.mm, file, { length: size, offset, shared: true });
  file.put();
  if (isErrno(vma)) return { err: vma };
  machine.names.set(as, { kind: 'mem', address: u64(vma.startPage, 0), length: size });
  return DONE;
}

/** munmap(2). The name then stands for nothing: EBADF, a rule of traces. */
export function* unmapMemory(machine: Machine, { map, offset, length, process }: Munmap): Thread<Result> {
  const mem = machine.names.get(map);
  if (mem?.kind !== 'mem') return { err: 'EBADF' };
  // PLACEHOLDER: parts of a mapping, and mappings of a child.
  if (offset !== undefined || length !== undefined || process !== undefined) return { err: 'ENOTTY' };
  machine.names.delete(map);
  yield* munmap(machine.mm, mem.address, mem.length);
  return DONE;
}

/** The process reads 4 bytes. What it gets outside of all mappings, SIGSEGV, traces write as EFAULT. */
export function* peek(machine: Machine, { map, offset, process }: Peek): Thread<Result> {
  if (process !== undefined) return { err: 'EBADF' }; // PLACEHOLDER: no process is ever forked.
  const mem = machine.names.get(map);
  if (mem?.kind !== 'mem') return { err: 'EBADF' };
  const first = addWrapping(mem.address, fromBigint(offset));
  const pfn = yield* touch(machine.mm, first.page, addWrapping(first, u64(0, 3)).page);
  if (pfn === 'SIGSEGV') return { err: 'EFAULT' };
  if (pfn === 'SIGBUS') return { ok: { signal: pfn } };
  return { ok: { value: machine.targetOf(physOf(pfn, first.byte)) } };
}

/** PLACEHOLDER: there is one process only. */
export function* ofProcesses(_: Machine, command: Fork | Exit): Thread<Result> {
  return { err: command.do === 'fork' ? 'ENOMEM' : 'EBADF' };
}
