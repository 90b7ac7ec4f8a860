/** System calls that any descriptor knows, memory, and what a device does of its own accord. */
import type { Result } from '../trace/answer.ts';
import type { DmaRead, Handle, MemfdCreate } from '../trace/command.ts';
import { answerOf, fdOf, fileOf, installAs, openedDevice } from './handles.ts';
import { IOMMU_READ } from './iommu/prot.ts';
import { isErrno } from './kernel/errno.ts';
import { File } from './kernel/file.ts';
import { Memfd } from './kernel/mm.ts';
import { shouldFail, type Thread } from './kernel/thread.ts';
import { fromBigint } from './kernel/units.ts';
import type { FdKind, Machine } from './machine.ts';

/** close(2); what the last reference releases is released before the call returns. */
export function closeHandle(machine: Machine, handle: Handle, kind: FdKind): Result {
  const named = machine.names.get(handle);
  const refused = machine.fds.close(fdOf(machine, handle, kind));
  if (refused === undefined && named !== undefined && 'fd' in named) named.fd = -1;
  return answerOf(refused);
}

/** dup(2) */
export function duplicate(machine: Machine, handle: Handle, as: Handle): Result {
  const file = fileOf(machine, handle, 'file');
  if (file === undefined) return { err: 'EBADF' };
  file.get();
  return installAs(machine, file, as, 'file');
}

/** memfd_create(2) and ftruncate(2) */
export function createMemfd(machine: Machine, { as, length }: MemfdCreate): Result {
  const size = fromBigint(length);
  if (shouldFail('shmem_get_inode')) return { err: 'ENOSPC' };
  if (shouldFail('alloc_empty_file')) return { err: 'ENOMEM' };
  const backing = machine.ram.allocate(as, size);
  if (isErrno(backing)) return { err: backing };
  return installAs(machine, new File(as, new Memfd(backing, size), nothing), as, 'file');
}

/** The pages of a memfd stay where they are; nothing waits for them. */
function* nothing(): Thread {}

/** The device reads the bytes at an IOVA: what its domain translates, and lets it read. */
export function dmaRead(machine: Machine, { dev, iova: address }: DmaRead): Result {
  const device = openedDevice(machine, dev);
  if (isErrno(device)) return { err: device };
  // A test drives the device through its descriptor, which gives no access before it is bound.
  if (device.file?.accessGranted !== true) return { err: 'EINVAL' };
  const domain = machine.domainOf(dev);
  const iova = fromBigint(address);
  const phys = domain?.inAperture(iova) ? domain.translate(iova) : undefined;
  const place = phys === undefined ? undefined : machine.placeOf(phys);
  if (place === undefined || ((domain?.protection(iova) ?? 0) & IOMMU_READ) === 0) return { ok: { fault: true } };
  return { ok: { target: `${place.memory}+0x${place.offset.toString(16)}` } };
}
