/**
 * The rules of an I/O address space at rest: what lies where, and how it is aligned.
 *
 * Source: iommufd I-40, I-41, I-43, I-44
 */
import { atMost, isAligned, PAGE_SIZE } from '../kernel/units.ts';
import type { Area } from './area.ts';
import type { IoPagetable } from './io-pagetable.ts';

/**
 * Append a line for each breach; `name` is that of the IOAS. What was found right is right until an area, a reservation
 * or an allowed range comes or goes, or the alignment changes: none of them ever moves. An audit of the `whole` asks
 * again.
 */
export function auditSpace(name: string, iopt: IoPagetable, whole: boolean, breaches: string[]): void {
  const { alignment } = iopt;
  if (alignment > PAGE_SIZE || alignment !== iopt.alignmentWith(iopt.domains)) {
    breaches.push(`${name} has an alignment of ${alignment}, which nobody asks for`);
  }
  const was = iopt.foundRight;
  const [areas, reserved, allowed] = [iopt.areas.all(), iopt.reserved.all(), iopt.allowed.all()];
  const same = was.areas === areas && was.reserved === reserved && was.allowed === allowed;
  if (!whole && same && was.alignment === alignment) return;
  const found = breaches.length;
  for (const { start, last } of reserved) {
    if (iopt.areas.first(start, last) !== undefined) breaches.push(`${name} has an area where nobody may map`);
    if (iopt.allowed.first(start, last) !== undefined) breaches.push(`${name} allows what is reserved`);
  }
  auditAreas(name, areas, iopt, breaches);
  if (breaches.length === found) iopt.foundRight = { areas, reserved, allowed, alignment };
}

/**
 * A copy in several pieces is looked at as a whole. Where one of them begins is then up to the domains, which take none
 * that is not aligned to their pages; what an access asks for, no domain enforces.
 */
function auditAreas(name: string, areas: readonly Area[], iopt: IoPagetable, breaches: string[]): void {
  const { alignment, domains } = iopt;
  const granule = domains.reduce((most, domain) => Math.max(most, domain.granule), 1);
  let below: Area | undefined;
  for (const area of areas) {
    if (below !== undefined && atMost(area.iova, below.last)) breaches.push(`${name} has two areas in one place`);
    if (!isAligned(area.iova, granule) || area.pageOffset % alignment !== 0) {
      breaches.push(`${name} has an area that is not aligned to ${alignment}`);
    }
    below = area;
  }
}
