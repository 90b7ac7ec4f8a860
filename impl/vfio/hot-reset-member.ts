/** What a hot reset does to each member of its set, before the bus is reset and afterwards. */
import type { Errno } from '../kernel/errno.ts';
import { preempt, type Thread } from '../kernel/thread.ts';
import { type IommufdCtx, ownedBy } from './iommufd.ts';
import type { VfioPciDevice } from './pci-device.ts';
import { restoreIfEnabled, vfioPciDmaBufMove } from './pci-dmabuf-revoke.ts';
import { zapLeft } from './take-back.ts';

/**
 * Lock the member, and take its memory back.
 * Locks: takes memory_lock for writing, by trylock, and keeps it on success
 * Fails: EINVAL when the member is another's; EBUSY when somebody has the lock
 */
export function* lockMember(member: VfioPciDevice, owner: IommufdCtx | undefined): Thread<Errno | undefined> {
  yield preempt; // A trylock asks what others hold at this moment.
  if (owner === undefined || !ownedBy(member, owner)) return 'EINVAL';
  if (!member.memoryLock.tryWrite()) return 'EBUSY';
  yield* vfioPciDmaBufMove(member, true);
  yield* zapLeft(member);
  return undefined;
}

/**
 * The reverse, whatever became of the reset. A member that nobody has open has no virtual configuration to ask, and no
 * buffers to give back.
 * Locks: caller holds memory_lock for writing, which is let go of
 */
export function* unlockMember(member: VfioPciDevice): Thread {
  try {
    if (member.openCount !== 0) yield* restoreIfEnabled(member);
  } finally {
    member.memoryLock.releaseWrite();
  }
}
