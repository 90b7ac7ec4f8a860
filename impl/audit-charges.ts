/**
 * I-26 and I-77: pages are pinned as often as the pages objects say, and what users and processes are charged is what
 * those that they pay for have pinned. A charge too many is seen though the pages that it was for are gone.
 */
import type { Account } from './iommufd/accounting.ts';
import type { Pages } from './iommufd/pages.ts';
import type { Machine } from './machine.ts';

/** What one pages object was charged for, and to whom. */
interface Owing {
  readonly account: Account;
  readonly ncharged: number;
}

/** Append a line for each count of pins or charges that is not what is owed. */
export function auditCharges({ kernel, ram, processes, users }: Machine, breaches: string[]): void {
  const owing: Owing[] = [];
  let pins = 0;
  for (let each = kernel.live.pages.first; each !== undefined; each = each.next) {
    const { account, npinned, ncharged } = each as Pages;
    pins += npinned;
    if (account === undefined) continue;
    if (npinned !== ncharged) breaches.push(`${each.label} have ${npinned} pages pinned, and ${ncharged} charged`);
    if (ncharged !== 0) owing.push({ account, ncharged });
  }
  let pinned = 0;
  for (const backing of ram.backings) pinned += backing.pinned;
  if (pins !== pinned) breaches.push(`${pinned} pages are pinned, and ${pins} pins are accounted for`);
  for (const user of users) {
    let owed = 0;
    for (const { account, ncharged } of owing) {
      if (account.mode === 'user' && account.user === user) owed += ncharged;
    }
    if (owed !== user.lockedVm) breaches.push(`user ${user.name} counts ${user.lockedVm} pages, and owes for ${owed}`);
  }
  for (const { name, mm } of processes) {
    let pinned = 0;
    let locked = 0;
    for (const { account, ncharged } of owing) {
      if (account.mm !== mm) continue;
      pinned += ncharged;
      if (account.mode === 'mm') locked += ncharged;
    }
    if (pinned !== mm.pinnedVm)
      breaches.push(`pinned_vm of ${name} counts ${mm.pinnedVm} pages, and owes for ${pinned}`);
    if (locked !== mm.lockedVm)
      breaches.push(`locked_vm of ${name} counts ${mm.lockedVm} pages, and owes for ${locked}`);
  }
}
