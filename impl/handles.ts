/** What the handles of a trace stand for. A handle that nothing carries is a closed descriptor: EBADF. */

import type { Result } from '../trace/answer.ts';
import type { Handle } from '../trace/command.ts';
import type { IommufdCtx, IommufdObject } from './iommufd/context.ts';
import { ctxOf } from './iommufd/device.ts';
import { type Errno, isErrno } from './kernel/errno.ts';
import type { File } from './kernel/file.ts';
import { isFreed } from './kernel/poison.ts';
import { shouldFail } from './kernel/thread.ts';
import type { FdKind, Machine } from './machine.ts';
import type { VfioPciDevice } from './vfio/pci-device.ts';

/** A command that returns nothing has succeeded. */
export const DONE: Result = { ok: {} };

export const answerOf = (refused: Errno | undefined): Result => (refused === undefined ? DONE : { err: refused });

/** The descriptor of that kind that a handle names; -1, which no table has, when it names none. */
export function fdOf(machine: Machine, handle: Handle, kind: FdKind): number {
  const named = machine.names.get(handle);
  return named !== undefined && named.kind === kind && 'fd' in named ? named.fd : -1;
}

export const fileOf = (machine: Machine, handle: Handle, kind: FdKind): File | undefined =>
  machine.fds.lookup(fdOf(machine, handle, kind));

/** A new file gets a descriptor, and the handle names it; a file that gets none is closed. Fails: EMFILE */
export function installAs(machine: Machine, file: File, as: Handle, kind: FdKind): Result {
  const fd = machine.fds.install(file);
  if (isErrno(fd)) {
    file.put();
    return { err: fd };
  }
  machine.names.set(as, { kind, fd });
  return DONE;
}

/** A context by its descriptor. */
export function ctxOfHandle(machine: Machine, handle: Handle): IommufdCtx | Errno {
  const file = fileOf(machine, handle, 'iommufd');
  return (file && ctxOf(file)) ?? 'EBADF';
}

/** A number that no object of any context has: what a name stands for whose object is gone. */
const NOBODY = 0;

/** An object's number, and the context that it is a number of; EBADF once the context's descriptor is closed. */
export function objectOf(machine: Machine, handle: Handle): { readonly ctx: IommufdCtx; readonly id: number } | Errno {
  const named = machine.names.get(handle);
  if (named?.kind !== 'object') return 'EBADF';
  const file = machine.fds.lookup(named.ctx.fd);
  const ctx = file && ctxOf(file);
  return ctx === undefined ? 'EBADF' : { ctx, id: idIn(ctx, named.object) };
}

/**
 * fdget() and the copy of the arguments: the same, at the entry of an ioctl, which holds the context's file until
 * `leave`. Fails: EBADF, EFAULT
 */
export function enter(machine: Machine, handle: Handle): { readonly ctx: IommufdCtx; readonly id: number } | Errno {
  const object = objectOf(machine, handle);
  if (typeof object === 'string') return object;
  if (shouldFail('copy_from_user')) return 'EFAULT';
  object.ctx.file.get();
  return object;
}

/** fdput(), with what the ioctl answers. */
export function leave(ctx: IommufdCtx, result: Result): Result {
  ctx.file.put();
  return result;
}

/** The copy of an answer to the user. Fails: EFAULT; what has been done stays, unless the caller undoes it */
export const told = (result: Result): Result =>
  'ok' in result && shouldFail('copy_to_user') ? { err: 'EFAULT' } : result;

/** The number by which a system call on a descriptor of `ctx` names the object. */
export function objectIdIn(machine: Machine, ctx: IommufdCtx | undefined, handle: Handle): number | Errno {
  const named = machine.names.get(handle);
  if (named?.kind !== 'object') return 'EBADF';
  return ctx === undefined ? NOBODY : idIn(ctx, named.object);
}

const idIn = (ctx: IommufdCtx, object: IommufdObject): number =>
  !isFreed(object) && ctx.has(object) ? object.id : NOBODY;

/** A device that somebody has open. */
export function openedDevice(machine: Machine, handle: Handle): VfioPciDevice | Errno {
  return fileOf(machine, handle, 'device') === undefined ? 'EBADF' : (machine.devices.get(handle) ?? 'EBADF');
}
