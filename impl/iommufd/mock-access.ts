/**
 * A driver with an access, like that of the kernel's selftests: it remembers what it has pinned, and lets go of it when
 * an UNMAP asks. The operations are those of IOMMU_TEST_CMD.
 *
 * Source: drivers/iommu/iommufd/selftest.c, struct selftest_access; iommufd 7.5
 */

import { type Errno, isErrno } from '../kernel/errno.ts';
import type { Mm } from '../kernel/mm.ts';
import { Mutex } from '../kernel/mutex.ts';
import { free } from '../kernel/poison.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import { add, atMost, type Bytes, bytes, type Iova, less, ONE, type Pfn, sub, type UserAddr } from '../kernel/units.ts';
import { type Access, type AccessOps, accessAttach, accessCreate, accessDestroy, accessReplace } from './access.ts';
import { accessPinPages, accessUnpinPages } from './access-pin.ts';
import { ACCESS_RW_SLOW_PATH, ACCESS_RW_WRITE, accessRw } from './access-rw.ts';
import type { IommufdCtx } from './context.ts';

/** Flag of CREATE_ACCESS. */
export const NEEDS_PIN_PAGES = 1;
/** Flag of ACCESS_PAGES. */
export const PIN_WRITE = 1;
/** No test moves or pins more at once. */
const LONGEST = bytes(16 * 1024 * 1024);

/** One pin, and the pages that it gave. */
export interface Item {
  readonly iova: Iova;
  readonly length: Bytes;
  readonly pfns: readonly Pfn[];
}

export class MockAccess implements AccessOps {
  readonly needsPinPages: boolean;
  /** Held while pinning, so that no UNMAP asks between a pin and its entry in `items`. */
  readonly lock = new Mutex('staccess.lock', 'staccess.lock');
  /** What is pinned, by number. */
  readonly items = new Map<number, Item>();
  nextId = 0;
  #access: Access | undefined;

  constructor(needsPinPages: boolean) {
    this.needsPinPages = needsPinPages;
  }

  /** There as soon as the mock has been made. */
  get access(): Access {
    return this.#access as Access;
  }

  set access(access: Access) {
    this.#access = access;
  }

  /** iommufd_test_access_unmap() */
  *unmap(iova: Iova, length: Bytes): Thread {
    const last = add(iova, sub(length, ONE));
    yield this.lock;
    try {
      for (const [id, item] of this.items) {
        if (less(last, item.iova) || less(add(item.iova, sub(item.length, ONE)), iova)) continue;
        this.items.delete(id);
        yield* accessUnpinPages(this.access, item.iova, item.length);
      }
    } finally {
      this.lock.release();
    }
  }
}

/** CREATE_ACCESS: a new access, attached. Fails: EOPNOTSUPP, ENOMEM, ENOENT, EADDRINUSE */
export function* mockCreateAccess(ctx: IommufdCtx, ioasId: number, flags: number): Thread<MockAccess | Errno> {
  if ((flags & ~NEEDS_PIN_PAGES) !== 0) return 'EOPNOTSUPP';
  const mock = new MockAccess((flags & NEEDS_PIN_PAGES) !== 0);
  const access = accessCreate(ctx, mock);
  if (isErrno(access)) return access;
  mock.access = access;
  const failed = yield* accessAttach(access, ioasId);
  if (failed === undefined) return mock;
  yield* accessDestroy(access);
  return failed;
}

/** close(2) of an access's descriptor: what it has pinned is unpinned. */
export function* mockDestroyAccess(mock: MockAccess): Thread {
  yield* accessDestroy(mock.access);
  free(mock, 'selftest_access', mock.lock);
}

/** ACCESS_REPLACE_IOAS. Fails: as accessReplace() */
export function* mockReplaceIoas({ access }: MockAccess, ioasId: number): Thread<Errno | undefined> {
  return yield* accessReplace(access, ioasId);
}

/** What ACCESS_PAGES is asked. `expected`: where in the caller's memory the pages must be found. */
export interface PinArgs {
  readonly iova: Iova;
  readonly length: Bytes;
  readonly flags: number;
  readonly expected?: { readonly mm: Mm; readonly address: UserAddr };
}

/**
 * ACCESS_PAGES: pin, and remember; the number of the entry.
 * Fails: EOPNOTSUPP, ENOMEM, EBADE where other pages are found than expected, what pinning fails with
 */
export function* mockAccessPages(mock: MockAccess, args: PinArgs): Thread<number | Errno> {
  const { iova, length, flags, expected } = args;
  if ((flags & ~PIN_WRITE) !== 0) return 'EOPNOTSUPP';
  if (less(LONGEST, length)) return 'ENOMEM';
  if (!mock.needsPinPages) return 'EOPNOTSUPP';
  yield mock.lock;
  try {
    const pfns = yield* accessPinPages(mock.access, iova, length, (flags & PIN_WRITE) !== 0);
    if (isErrno(pfns)) return pfns;
    const wrong = expected === undefined || isThere(expected, pfns) ? undefined : 'EBADE';
    const failed = wrong ?? (shouldFail('mock_access_item') ? 'ENOMEM' : undefined);
    if (failed !== undefined) {
      yield* accessUnpinPages(mock.access, iova, length);
      return failed;
    }
    mock.items.set(mock.nextId, { iova, length, pfns });
    return mock.nextId++;
  } finally {
    mock.lock.release();
  }
}

function isThere({ mm, address }: NonNullable<PinArgs['expected']>, pfns: readonly Pfn[]): boolean {
  return pfns.every((pfn, i) => {
    const ram = mm.ramAt(address.page + i);
    return ram !== undefined && ram.backing.firstPfn + ram.index === pfn;
  });
}

/** DESTROY_ACCESS_PAGES: unpin one entry. Fails: ENOENT */
export function* mockDestroyAccessPages(mock: MockAccess, id: number): Thread<Errno | undefined> {
  yield mock.lock;
  try {
    const item = mock.items.get(id);
    if (item === undefined) return 'ENOENT';
    mock.items.delete(id);
    yield* accessUnpinPages(mock.access, item.iova, item.length);
    return undefined;
  } finally {
    mock.lock.release();
  }
}

/** ACCESS_RW: between `data` and memory, for the process `caller`. Fails: EOPNOTSUPP, ENOMEM, as accessRw() */
export function* mockAccessRw(
  { access }: MockAccess,
  iova: Iova,
  data: Uint8Array,
  flags: number,
  caller: Mm | undefined,
): Thread<Errno | undefined> {
  if ((flags & ~(ACCESS_RW_WRITE | ACCESS_RW_SLOW_PATH)) !== 0) return 'EOPNOTSUPP';
  if (!atMost(bytes(data.length), LONGEST)) return 'ENOMEM';
  return yield* accessRw(access, iova, data, flags, caller);
}
