/** System calls and accesses that concern the address space of the process. */
import type { Result } from '../trace/answer.ts';
import type { BarMmap, Exit, FdMmap, Fork, Handle, MemAlloc, Munmap, Peek } from '../trace/command.ts';
import { DONE, fileOf, openedDevice } from './handles.ts';
import { isErrno } from './kernel/errno.ts';
import { touch } from './kernel/fault.ts';
import type { File } from './kernel/file.ts';
import { fork } from './kernel/fork.ts';
import { type Mm, physOf } from './kernel/mm.ts';
import { mmap } from './kernel/mmap.ts';
import { exitMmap, munmap } from './kernel/munmap.ts';
import { preempt, shouldFail, type Thread } from './kernel/thread.ts';
import { add, addWrapping, type Bytes, fromBigint, pagesOf, u64 } from './kernel/units.ts';
import type { Machine, Named, NamedMem } from './machine.ts';
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

/** mmap(2) of anonymous private memory, which is touched only when it is pinned. Locks: takes mmap_lock for writing */
export function* allocMemory(machine: Machine, { as, length }: MemAlloc): Thread<Result> {
  const { mm } = machine;
  const bytes = fromBigint(length);
  yield mm.mmapLock.write;
  try {
    if (shouldFail('vm_area_alloc') || shouldFail('vma_iter_prealloc')) return { err: 'ENOMEM' };
    const address = mm.mapAnonymous(as, bytes);
    if (isErrno(address)) return { err: address };
    machine.names.set(as, { kind: 'mem', address, length: bytes });
    return DONE;
  } finally {
    mm.mmapLock.releaseWrite();
  }
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

/**
 * munmap(2) of some pages of a mapping, or of all that is left of it. What a range beyond the mapping meets, traces do
 * not say: EFAULT. The name stands for the mapping until the last page has gone, and for nothing then: EBADF.
 */
export function* unmapMemory(machine: Machine, { map, offset = 0n, length, process }: Munmap): Thread<Result> {
  const found = memoryNamed(machine, map, process);
  if (found === undefined) return { err: 'EBADF' };
  const { mm, mem, names } = found;
  const [from, all] = [fromBigint(offset), pagesOf(mem.length)];
  const pages = length === undefined ? all - from.page : pagesOf(fromBigint(length));
  if (from.byte !== 0 || pages <= 0) return { err: 'EINVAL' };
  if (from.page + pages > all) return { err: 'EFAULT' };
  const whole = pages === all;
  // Nobody can name the whole any more, while it goes.
  if (whole) names.delete(map);
  const leaves = whole && mm === machine.mm;
  if (leaves) machine.leaving.set(mem, map);
  const failed = yield* munmap(mm, add(mem.address, from), u64(pages, 0));
  if (leaves) machine.leaving.delete(mem);
  if (failed !== undefined) {
    if (whole) names.set(map, mem);
    return { err: failed };
  }
  if (names.get(map) === mem && !isMapped(mm, mem)) names.delete(map);
  return DONE;
}

/** The process reads 4 bytes. What it gets outside of all mappings, SIGSEGV, traces write as EFAULT. */
export function* peek(machine: Machine, { map, offset, process }: Peek): Thread<Result> {
  const found = memoryNamed(machine, map, process);
  if (found === undefined) return { err: 'EBADF' };
  const first = addWrapping(found.mem.address, fromBigint(offset));
  const pfn = yield* touch(found.mm, first.page, addWrapping(first, u64(0, 3)).page);
  if (pfn === 'SIGSEGV') return { err: 'EFAULT' };
  if (pfn === 'SIGBUS') return { ok: { signal: pfn } };
  return { ok: { value: machine.targetOf(physOf(pfn, first.byte)) } };
}

/** fork(2), and the child closes every descriptor before it does anything else. */
export function* forkProcess(machine: Machine, { as }: Fork): Thread<Result> {
  const forked = yield* fork(machine.process, as, machine.fds);
  if (isErrno(forked)) return { err: forked };
  const { process, fds } = forked;
  // As it is now: what others have mapped, or were about to unmap, when the copy was made.
  const mems = new Map<Handle, NamedMem>();
  for (const [mem, name] of machine.leaving) if (isMapped(process.mm, mem)) mems.set(name, mem);
  for (const [name, named] of machine.names) {
    if (named.kind === 'mem' && isMapped(process.mm, named)) mems.set(name, named);
  }
  machine.processes.push(process);
  machine.children.set(as, { process, mems });
  yield preempt; // The child is a process like any other by now.
  fds.closeAll();
  return DONE;
}

/** exit(2) of a child. */
export function* exitProcess(machine: Machine, { process: name }: Exit): Thread<Result> {
  const child = machine.children.get(name);
  if (child === undefined) return { err: 'EBADF' };
  machine.children.delete(name);
  yield* exitMmap(child.process.mm);
  machine.processes.splice(machine.processes.indexOf(child.process), 1);
  return DONE;
}

interface Found {
  readonly mm: Mm;
  readonly mem: NamedMem;
  /** Where the name stands. */
  readonly names: Map<Handle, Named> | Map<Handle, NamedMem>;
}

/** Memory by its name in a child, or in the process that makes the calls. */
function memoryNamed(machine: Machine, map: Handle, process: Handle | undefined): Found | undefined {
  const child = process === undefined ? undefined : machine.children.get(process);
  if (process !== undefined && child === undefined) return undefined;
  const names = child?.mems ?? machine.names;
  const mem = names.get(map);
  return mem?.kind === 'mem' ? { mm: (child?.process ?? machine.process).mm, mem, names } : undefined;
}

/** Whether any page is. */
const isMapped = (mm: Mm, { address, length }: NamedMem): boolean =>
  mm.overlapping(address.page, address.page + pagesOf(length) - 1).length > 0;
