/**
 * The lifetime rules of accesses, for the audit of a machine at rest: who is attached where, and what is pinned for it.
 * Each function appends a line for each breach.
 *
 * Source: iommufd I-26, I-75, I-76, I-79
 */
import type { Access } from './access.ts';
import type { Area } from './area.ts';
import type { IoPagetable } from './io-pagetable.ts';
import type { Pages } from './pages.ts';
import { spanAt } from './pages-accesses.ts';

/** How often the areas on each pages object say that an access has pinned them. */
export type PinsOfAreas = Map<Pages, number>;

export function auditAccess({ id, ioas, ioasUnpin, ioasLock }: Access, breaches: string[]): void {
  if (ioas !== ioasUnpin) breaches.push(`access ${id} is left on its way from one IOAS to another`);
  if (ioasLock.locked) breaches.push(`access ${id} is left locked`);
}

/** The list of an IOAS. */
export function auditList(iopt: IoPagetable, breaches: string[]): void {
  for (const { id, ioas } of iopt.accesses) {
    if (ioas?.iopt !== iopt) breaches.push(`access ${id} is in the list of an IOAS that it is not attached to`);
  }
}

/** Take down what an area says. */
export function countPins({ pages, numAccesses }: Area, into: PinsOfAreas): void {
  if (pages !== undefined && numAccesses > 0) into.set(pages, (into.get(pages) ?? 0) + numAccesses);
}

/** What accesses hold of a pages object: as often as its areas say, each page with its number, and each pinned. */
export function auditPins(pages: Pages, ofAreas: PinsOfAreas, breaches: string[]): void {
  const { accesses, label } = pages;
  const said = ofAreas.get(pages) ?? 0;
  let users = 0;
  for (const access of accesses?.itree.all() ?? []) users += access.users;
  if (users !== said) breaches.push(`${label} are pinned ${users} times, and ${said} times by their areas`);
  if (accesses === undefined) return;
  let held = 0;
  let numbered = 0;
  for (let index = 0; index < pages.npages; ) {
    const { by, last } = spanAt(pages, index, pages.npages - 1);
    if (by !== 'nobody') held += last - index + 1;
    for (; index <= last; index++) {
      const known = accesses.pinnedPfns.has(index);
      if (known) numbered++;
      if (known !== (by === 'access')) breaches.push(`page ${index} of ${label} has ${known ? 'a' : 'no'} number`);
    }
  }
  if (numbered !== accesses.pinnedPfns.size) breaches.push(`${label} have numbers of pages beyond their end`);
  if (held !== pages.npinned) breaches.push(`${held} of ${label} are held, and ${pages.npinned} pinned`);
}
