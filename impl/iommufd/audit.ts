/**
 * The rules of an I/O address space at rest: what lies where, and how it is aligned.
 *
 * Source: iommufd I-40, I-41, I-43, I-44
 */

import type { Domain } from '../iommu/domain.ts';
import { isAligned, PAGE_SIZE } from '../kernel/units.ts';
import type { Area } from './area.ts';
import type { IommufdCtx } from './context.ts';
import type { IoPagetable } from './io-pagetable.ts';
import { Ioas } from './ioas.ts';

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
  if (same && !whole && was.domains !== undefined && sameList(was.domains, domains)) return true;
  for (const { start, last } of reserved) {
    if (iopt.allowed.first(start, last) !== undefined) breaches.push(`${name} allows what is reserved`);
  }
  iopt.audited = { domains: [...domains], reserved, allowed, alignment };
  return false;
}

function sameList(a: readonly Domain[], b: readonly Domain[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/**
 * Where an area lies, in an IOAS of one of `contexts`. A copy in several pieces is looked at as a whole. Where one of
 * them begins is then up to the domains, which take none that is not aligned to their pages, and are not asked for
 * what is revoked; what an access asks for, no domain enforces.
 */
export function auditPlace(area: Area, contexts: Iterable<IommufdCtx>, breaches: string[]): void {
  const { iopt, start, pageOffset } = area;
  const { alignment } = iopt;
  const source = area.pages?.source;
  const revoked = source?.kind === 'dmabuf' && source.len === 0;
  const granule = revoked ? 1 : largestGranule(iopt.domains);
  if (iopt.reserved.countMeeting(area) > 0) {
    breaches.push(`${nameOf(iopt, contexts)} has an area where nobody may map`);
  }
  if (iopt.areas.countMeeting(area) > 1) {
    const line = `${nameOf(iopt, contexts)} has two areas in one place`;
    if (!breaches.includes(line)) breaches.push(line);
  }
  if (!isAligned(start, granule) || pageOffset % alignment !== 0) {
    breaches.push(`${nameOf(iopt, contexts)} has an area that is not aligned to ${alignment}`);
  }
}

function largestGranule(domains: readonly Domain[]): number {
  let most = 1;
  for (const { granule } of domains) most = Math.max(most, granule);
  return most;
}

/** The name of the IOAS. */
function nameOf(iopt: IoPagetable, contexts: Iterable<IommufdCtx>): string {
  const objects = [...contexts].flatMap((ctx) => ctx.objects);
  const ioas = objects.filter((object) => object instanceof Ioas).find((each) => each.iopt === iopt);
  return ioas?.name ?? 'no IOAS';
}
