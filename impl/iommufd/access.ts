/**
 * An access: a kernel driver that reads, writes or pins the memory of an IOAS by CPU. The driver makes it, and it is
 * one of the object's users, so that no user can destroy it.
 *
 * Source: drivers/iommu/iommufd/device.c, struct iommufd_access
 */

import { type Errno, isErrno } from '../kernel/errno.ts';
import { assertHeld, Mutex } from '../kernel/mutex.ts';
import { free } from '../kernel/poison.ts';
import { warnOn } from '../kernel/splat.ts';
import type { Thread } from '../kernel/thread.ts';
import { type Bytes, type Iova, PAGE_SIZE, U64_MAX, ZERO } from '../kernel/units.ts';
import { addAccess, removeAccess } from './access-table.ts';
import { type IommufdCtx, IommufdObject } from './context.ts';
import { getIoas, type Ioas } from './ioas.ts';

/** What a driver brings. */
export interface AccessOps {
  readonly needsPinPages: boolean;
  /** Unpin all in [iova, iova + length) before it returns. Locks: called with none */
  unmap(iova: Iova, length: Bytes): Thread;
}

export class Access extends IommufdObject {
  readonly kind = 'access';
  /** Undefined of an internal one, which the context itself makes: no UNMAP may ask it to let go. */
  readonly ops: AccessOps | undefined;
  /** What the areas of its IOAS must be aligned to. */
  readonly alignment: number;
  /** Protects `ioas` and `ioasUnpin`. */
  readonly ioasLock = new Mutex('access.ioas_lock', 'access.ioas_lock');
  /** The IOAS for new work; undefined as soon as the access is about to leave it. */
  ioas: Ioas | undefined;
  /** The IOAS from which pages are to be unpinned. */
  ioasUnpin: Ioas | undefined;

  constructor(ctx: IommufdCtx, ops: AccessOps | undefined) {
    super(ctx);
    this.ops = ops;
    this.alignment = ops === undefined || ops.needsPinPages ? PAGE_SIZE : 1;
  }

  get internal(): boolean {
    return this.ops === undefined;
  }

  /** iommufd_access_destroy_object(). Locks: takes access.ioas_lock, and those of leaving the IOAS */
  *destroy(): Thread {
    yield this.ioasLock;
    try {
      if (this.ioas !== undefined) yield* changeIoas(this, undefined);
    } finally {
      this.ioasLock.release();
    }
    if (!this.internal) this.ctx.file.put();
    free(this, 'iommufd_access', this.ioasLock);
  }
}

/** iommufd_access_create(): attached to nothing yet. Keeps the context alive. Fails: ENOMEM */
export function accessCreate(ctx: IommufdCtx, ops: AccessOps): Access | Errno {
  const access = create(ctx, ops);
  if (!isErrno(access)) ctx.file.get();
  return access;
}

/** iommufd_access_create_internal(): for what the context itself owns. Fails: ENOMEM */
export const accessCreateInternal = (ctx: IommufdCtx): Access | Errno => create(ctx, undefined);

function create(ctx: IommufdCtx, ops: AccessOps | undefined): Access | Errno {
  const access = new Access(ctx, ops);
  const full = ctx.add(access);
  if (full !== undefined) return full;
  access.users++; // The driver's, until it destroys the access.
  return access;
}

/** iommufd_access_destroy(): once it returns, the driver's callback is not running, and never will again. */
export function* accessDestroy(access: Access): Thread {
  access.ctx.put(access);
  access.ctx.remove(access);
  if (access.users > 0)
    yield { name: `users of access ${access.id}`, ready: () => access.users === 0, enter: () => {} };
  yield* access.destroy();
}

/** iommufd_access_attach(): to an IOAS, of an access that has none. Fails: ENOENT, EADDRINUSE, ENOMEM */
export function* accessAttach(access: Access, ioasId: number): Thread<Errno | undefined> {
  yield access.ioasLock;
  try {
    warnOn(access.ioas !== undefined || access.ioasUnpin !== undefined, 'an access is attached twice');
    return yield* changeIoasId(access, ioasId);
  } finally {
    access.ioasLock.release();
  }
}

/** iommufd_access_attach_internal(). Fails: EADDRINUSE, ENOMEM */
export function* accessAttachInternal(access: Access, ioas: Ioas): Thread<Errno | undefined> {
  yield access.ioasLock;
  try {
    warnOn(access.ioas !== undefined, 'an access is attached twice');
    return yield* changeIoas(access, ioas);
  } finally {
    access.ioasLock.release();
  }
}

/** iommufd_access_replace(). Fails: ENOENT when it is attached to nothing, else as attach; then it has not moved */
export function* accessReplace(access: Access, ioasId: number): Thread<Errno | undefined> {
  yield access.ioasLock;
  try {
    return access.ioas === undefined ? 'ENOENT' : yield* changeIoasId(access, ioasId);
  } finally {
    access.ioasLock.release();
  }
}

/** iommufd_access_detach(): the driver's callback has been called for everything when it returns. */
export function* accessDetach(access: Access): Thread {
  yield access.ioasLock;
  try {
    warnOn(access.ioas === undefined, 'an access is detached that is not attached');
    yield* changeIoas(access, undefined);
  } finally {
    access.ioasLock.release();
  }
}

function* changeIoasId(access: Access, id: number): Thread<Errno | undefined> {
  const ioas = getIoas(access.ctx, id);
  if (isErrno(ioas)) return ioas;
  const failed = yield* changeIoas(access, ioas);
  access.ctx.put(ioas);
  return failed;
}

/**
 * iommufd_access_change_ioas(): first into the new one, then out of the old. Whoever comes while the driver is called
 * finds the access attached to nothing.
 * Locks: caller holds access.ioas_lock, which is dropped around the callback
 * Fails: EADDRINUSE, ENOMEM; the access has not moved then
 */
function* changeIoas(access: Access, ioas: Ioas | undefined): Thread<Errno | undefined> {
  assertHeld(access.ioasLock);
  const left = access.ioas;
  // Never so behind the checks of all callers; the kernel asks for a concurrent detach all the same.
  if (left !== access.ioasUnpin) return 'EBUSY';
  if (left === ioas) return undefined;
  access.ioas = undefined; // No more pins; unpinning goes on.
  if (ioas !== undefined) {
    const failed = yield* addAccess(ioas.iopt, access);
    if (failed !== undefined) {
      access.ioas = left;
      return failed;
    }
    ioas.users++;
  }
  if (left !== undefined) {
    yield* tellToLetGo(access);
    yield* removeAccess(left.iopt, access);
    left.ctx.put(left);
  }
  access.ioas = ioas;
  access.ioasUnpin = ioas;
  return undefined;
}

function* tellToLetGo({ ops, ioasLock }: Access): Thread {
  if (ops === undefined) return;
  ioasLock.release();
  try {
    yield* ops.unmap(ZERO, U64_MAX);
  } finally {
    yield ioasLock;
  }
}
