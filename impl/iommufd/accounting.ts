/**
 * What pinned memory costs: after pages were pinned, their number is charged to the user or the process that made the
 * pages object, within its RLIMIT_MEMLOCK; after they were unpinned, it is given back.
 *
 * Source: drivers/iommu/iommufd/pages.c, pfn_reader_update_pinned(), do_update_pinned(), update_unpinned()
 */

import type { Errno } from '../kernel/errno.ts';
import { LOCKLESS, touches } from '../kernel/footprint.ts';
import { chargesChange } from '../kernel/live.ts';
import type { Mm } from '../kernel/mm.ts';
import { assertHeld } from '../kernel/mutex.ts';
import type { Process, User } from '../kernel/process.ts';
import { warnOn } from '../kernel/splat.ts';
import { current, shouldFail } from '../kernel/thread.ts';
import type { IommufdCtx } from './context.ts';
import type { Pages } from './pages.ts';

/** Whose counter a charge goes to: nobody's, a user's, or that of one process. */
export type AccountMode = 'none' | 'user' | 'mm';

/** Who made a pages object, and so pays for it, whoever pins it later. */
export interface Account {
  readonly mode: AccountMode;
  /** Its limit counts, as it is when something is charged. */
  readonly process: Process;
  /** The address space and the user that it had then. */
  readonly mm: Mm;
  readonly user: User;
}

/** The account of memory that the calling process maps. */
export function accountOf(ctx: IommufdCtx): Account {
  const process = current().process as Process;
  warnOn(process === undefined, 'memory is mapped by no process');
  const mode = process.capIpcLock ? 'none' : ctx.accountMode;
  return { mode, process, mm: process.mm, user: process.user };
}

/**
 * Charge what was pinned since the last time. Nothing is ever pinned of a dma-buf.
 * Locks: pages->mutex
 * Fails: ENOMEM above the limit, and then charges nothing
 */
export function chargePinned(pages: Pages): Errno | undefined {
  touches(LOCKLESS);
  assertHeld(pages.mutex);
  const { account } = pages;
  const count = pages.npinned - pages.ncharged;
  if (account === undefined || count === 0) return undefined;
  warnOn(count < 0, 'pages were unpinned, and not given back');
  if (shouldFail('do_update_pinned')) return 'ENOMEM';
  const counter = counterOf(account);
  if (counter !== undefined) {
    if (counter.lockedVm + count > account.process.rlimitMemlock.page) return 'ENOMEM';
    counter.lockedVm += count;
  }
  account.mm.pinnedVm += count;
  pages.ncharged += count;
  return undefined;
}

/** Give back what was unpinned since the last time. Locks: pages->mutex */
export function unchargeUnpinned(pages: Pages): void {
  touches(LOCKLESS);
  assertHeld(pages.mutex);
  const { account } = pages;
  const count = pages.ncharged - pages.npinned;
  if (account === undefined || count === 0) return;
  warnOn(count < 0, 'more pages are pinned than were charged');
  const counter = counterOf(account);
  if (counter !== undefined) counter.lockedVm -= count;
  account.mm.pinnedVm -= count;
  pages.ncharged -= count;
}

/**
 * All pinned pages count for the calling process from now on, in the mode in which they did; what counts there already
 * stays. A `HandOver` of IOMMU_IOAS_CHANGE_PROCESS.
 * Locks: iova_rwsem W of every IOAS of the context
 * Fails: ENOMEM above the caller's limit, and then nothing has changed
 */
export function handOverToCaller(all: ReadonlySet<Pages>): Errno | undefined {
  touches(LOCKLESS);
  const process = current().process as Process;
  const { mm, user } = process;
  const added = { user: 0, mm: 0 };
  for (const { account, ncharged } of all) {
    if (account?.mode === 'user' && account.user !== user) added.user += ncharged;
    if (account?.mode === 'mm' && account.mm !== mm) added.mm += ncharged;
  }
  if (shouldFail('charge_current')) return 'ENOMEM';
  const limit = process.rlimitMemlock.page;
  if (added.user > 0 && user.lockedVm + added.user > limit) return 'ENOMEM';
  if (added.mm > 0 && mm.lockedVm + added.mm > limit) return 'ENOMEM';
  for (const pages of all) {
    if (pages.account === undefined) continue;
    const account: Account = { mode: pages.account.mode, process, mm, user };
    move(pages.account, account, pages.ncharged);
    pages.account = account;
    chargesChange();
  }
  return undefined;
}

function move(from: Account, to: Account, count: number): void {
  const [old, now] = [counterOf(from), counterOf(to)];
  if (old !== undefined) old.lockedVm -= count;
  if (now !== undefined) now.lockedVm += count;
  from.mm.pinnedVm -= count;
  to.mm.pinnedVm += count;
}

/** What has a limit. */
function counterOf({ mode, mm, user }: Account): { lockedVm: number } | undefined {
  if (mode === 'user') return user;
  return mode === 'mm' ? mm : undefined;
}
