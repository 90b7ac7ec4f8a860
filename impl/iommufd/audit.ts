/**
 * The rules of an I/O address space at rest: what lies where, and how it is aligned.
 *
 * Source: iommufd I-40, I-41, I-43, I-44
 */

import type { Domain } from '../iommu/domain.ts';
import { isAligned, PAGE_SIZE } from '../kernel/units.ts';
import type { Area } from './area.ts';
import type { IoPagetable } from './io-pagetable.ts';

/**
 * Append a line for each breach; `name` is that of the IOAS. False when its areas must keep to something else than at
 * the last audit: another domain, reservation, allowed range or alignment. An audit of the `whole` asks again.
 */
export function auditSpace(name: string, iopt: IoPagetable, whole: boolean, breaches: string[]): boolean {
  const { alignment, domains } = iopt;
  if (alignment > PAGE_SIZE || alignment !== iopt.alignmentWith(iopt.domains)) {
    breaches.push(`${name} has an alignment of ${alignment}, which nobody asks for`);
  }
  const was = iopt.audited;
  const reserved = iopt.reserved.all();
  const allowed = iopt.allowed.all();
  const same = was.reserved === reserved && was.allowed === allowed && was.alignment === alignment;
  if (same && !whole && sameList(was.domains, domains)) return true;
  for (const { start, last } of reserved) {
    if (iopt.allowed.first(start, last) !== undefined) breaches.push(`${name} allows what is reserved`);
  }
  iopt.audited = { domains: [...domains], reserved, allowed, alignment };
  return false;
}

const sameList = (a: readonly Domain[] = [], b: readonly Domain[]): boolean =>
  a.length === b.length && a.every((domain, i) => domain === b[i]);

/**
 * Where an area lies; `name` tells that of its IOAS. A copy in several pieces is looked at as a whole. Where one of
 * them begins is then up to the domains, which take none that is not aligned to their pages, and are not asked for
 * what is revoked; what an access asks for, no domain enforces.
 */
export function auditPlace(area: Area, name: () => string, breaches: string[]): void {
  const { iopt, start, last, pageOffset } = area;
  const { alignment } = iopt;
  const source = area.pages?.source;
  const asked = source?.kind === 'dmabuf' && source.len === 0 ? [] : iopt.domains;
  const granule = asked.reduce((most, domain) => Math.max(most, domain.granule), 1);
  if (iopt.reserved.first(start, last) !== undefined) breaches.push(`${name()} has an area where nobody may map`);
  if (iopt.areas.overlapping(start, last).length > 1) {
    const line = `${name()} has two areas in one place`;
    if (!breaches.includes(line)) breaches.push(line);
  }
  if (!isAligned(start, granule) || pageOffset % alignment !== 0) {
    breaches.push(`${name()} has an area that is not aligned to ${alignment}`);
  }
}
