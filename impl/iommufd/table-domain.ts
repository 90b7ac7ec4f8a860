/**
 * A domain joins an IOAS, with every area filled in, or leaves it.
 *
 * Source: drivers/iommu/iommufd/io_pagetable.c, iopt_table_add_domain(), iopt_table_remove_domain()
 */
import type { Domain } from '../iommu/domain.ts';
import type { Errno } from '../kernel/errno.ts';
import { assertHeldWrite } from '../kernel/rwsem.ts';
import { warnOn } from '../kernel/splat.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import { isMax, isZero, next, PAGE_SIZE, previous, U64_MAX, ZERO } from '../kernel/units.ts';
import type { Area } from './area.ts';
import { fillDomain, unfillDomain } from './fill.ts';
import type { IoPagetable } from './io-pagetable.ts';
import type { Pages } from './pages.ts';

/**
 * iopt_table_add_domain()
 * Locks: caller holds ioas.mutex; takes domains_rwsem W, iova_rwsem W, and each pages->mutex
 * Fails: EINVAL for pages larger than ours, EADDRINUSE when an area or an allowed range is in the way, what filling
 * fails with; nothing is left behind then
 */
export function* addDomain(iopt: IoPagetable, domain: Domain): Thread<Errno | undefined> {
  yield iopt.domainsRwsem.write;
  try {
    yield iopt.iovaRwsem.write;
    try {
      return yield* addLocked(iopt, domain);
    } finally {
      iopt.iovaRwsem.releaseWrite();
    }
  } finally {
    iopt.domainsRwsem.releaseWrite();
  }
}

function* addLocked(iopt: IoPagetable, domain: Domain): Thread<Errno | undefined> {
  warnOn(iopt.domains.includes(domain), 'a domain joins an IOAS twice');
  const alignment = Math.max(domain.granule, iopt.alignment);
  if (alignment > PAGE_SIZE) return 'EINVAL';
  if (alignment !== iopt.alignment && !iopt.allAligned(alignment)) return 'EADDRINUSE';
  let failed = reserveOutside(iopt, domain);
  if (failed === undefined && shouldFail('iopt_table_add_domain')) failed = 'ENOMEM';
  failed ??= yield* fillWhole(iopt, domain);
  if (failed !== undefined) {
    iopt.unreserve(domain);
    return failed;
  }
  iopt.alignment = alignment;
  iopt.domains.push(domain);
  return undefined;
}

/** Reserve what the domain cannot translate. Locks: iova_rwsem W */
function reserveOutside(iopt: IoPagetable, domain: Domain): Errno | undefined {
  const { apertureFirst, apertureLast } = domain.iommu;
  const below = isZero(apertureFirst) ? undefined : iopt.reserve(ZERO, previous(apertureFirst), domain);
  if (below !== undefined) return below;
  const above = next(apertureLast);
  return above === undefined || isMax(apertureLast) ? undefined : iopt.reserve(above, U64_MAX, domain);
}

/** iopt_fill_domain(): every area into the one domain, or none. Locks: domains_rwsem W, iova_rwsem W */
function* fillWhole(iopt: IoPagetable, domain: Domain): Thread<Errno | undefined> {
  assertHeldWrite(iopt.domainsRwsem);
  const filled: Area[] = [];
  for (const area of iopt.areas.all()) {
    const { pages } = area;
    if (pages === undefined) continue;
    const failed = yield* fillDomain(area, pages, domain);
    if (failed !== undefined) {
      // pages->mutex is free again, so a revoke may have unmapped an earlier area; unfillDomain asks.
      for (const done of filled) yield* unfillDomain(done, done.pages as Pages, domain, iopt.domains);
      return failed;
    }
    filled.push(area);
  }
  return undefined;
}

/**
 * iopt_table_remove_domain(): unmap every area from it. Cannot fail.
 * Locks: takes domains_rwsem W, iova_rwsem W, and each pages->mutex
 */
export function* removeDomain(iopt: IoPagetable, domain: Domain): Thread {
  yield iopt.domainsRwsem.write;
  try {
    yield iopt.iovaRwsem.write;
    try {
      takeOut(iopt.domains, domain);
      for (const area of iopt.areas.all()) {
        if (area.pages !== undefined) yield* unfillDomain(area, area.pages, domain, iopt.domains);
      }
      iopt.unreserve(domain);
      iopt.alignment = iopt.alignmentWith(iopt.domains);
    } finally {
      iopt.iovaRwsem.releaseWrite();
    }
  } finally {
    iopt.domainsRwsem.releaseWrite();
  }
}

/** The last slot moves into the one that gets free. */
function takeOut(domains: Domain[], domain: Domain): void {
  const slot = domains.indexOf(domain);
  warnOn(slot < 0, 'a domain leaves an IOAS that does not have it');
  const moved = domains.pop() as Domain;
  if (moved !== domain) domains[slot] = moved;
}
