/**
 * What iommufd does as an importer: attach to a buffer, ask where it lies, follow which domains map it, and let go of
 * all of it, at once and for good, when the exporter revokes.
 *
 * Source: drivers/iommu/iommufd/pages.c, iopt_map_dmabuf(), iopt_revoke_notify(), iopt_dmabuf_track_domain()
 */

import {
  type Attachment,
  detach,
  dynamicAttach,
  type ImporterDevice,
  type ImporterOps,
  pin,
  unpin,
} from '../dmabuf/attachment.ts';
import type { DmaBuf } from '../dmabuf/dma-buf.ts';
import type { PhysVec } from '../dmabuf/sg-table.ts';
import type { Domain } from '../iommu/domain.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import type { Ram } from '../kernel/mm.ts';
import { assertHeld } from '../kernel/mutex.ts';
import { free } from '../kernel/poison.ts';
import { warnOn } from '../kernel/splat.ts';
import { current, shouldFail, type Thread } from '../kernel/thread.ts';
import { compact, toNumber } from '../kernel/units.ts';
import { vfioPciDmaBufIommufdMap } from '../vfio/pci-dmabuf.ts';
import { type Area, UNTRACKED } from './area.ts';
import { DmabufSource, Pages } from './pages.ts';
import { iommufdTestDmaBufIommufdMap } from './selftest-dmabuf.ts';

/** The misc device on whose behalf iommufd attaches; it does no DMA of its own. */
const IOMMUFD: ImporterDevice = { name: 'iommufd' };

/** What the exporter may ask for while iommufd is attached. */
export const importerOps: ImporterOps = {
  allowPeer2peer: true,
  invalidateMappings: (attachment) => revokeNotify(attachment.importerPriv as Pages),
};

/** iopt_is_dmabuf() and phys.len == 0: nothing may be mapped from these pages any more. Locks: pages->mutex */
export function isRevoked(pages: Pages): boolean {
  const { source } = pages;
  if (source.kind !== 'dmabuf') return false;
  assertHeld(pages.mutex);
  return source.len === 0;
}

/**
 * iopt_map_dmabuf(): attach, pin, and learn the one physical range. The caller keeps its buffer reference on failure;
 * on success it belongs to the pages.
 * Locks: takes dma_resv, twice. No iommufd lock may be held.
 * Fails: whatever the exporter answers (ENODEV when revoked), EOPNOTSUPP for a foreign or split buffer, ENOMEM
 */
export function* mapDmabuf(
  dmabuf: DmaBuf,
  startPage: number,
  npages: number,
  writable: boolean,
  ram: Ram,
): Thread<Pages | Errno> {
  if (shouldFail('iopt_alloc_pages')) return 'ENOMEM';
  const source = new DmabufSource(dmabuf, startPage);
  const pages = new Pages(source, npages, writable, ram);
  const attachment = yield* dynamicAttach(dmabuf, IOMMUFD, importerOps, pages);
  if (isErrno(attachment)) {
    pages.gone();
    free(pages, 'iopt_pages', pages.mutex);
    return attachment;
  }
  source.attachment = attachment;

  const refused = yield* connect(attachment, source);
  if (refused === undefined) return pages;
  yield* detach(attachment);
  pages.gone();
  free(pages, 'iopt_pages', pages.mutex);
  return refused;
}

/** Pin, and ask where the memory lies. Locks: takes dma_resv */
function* connect(attachment: Attachment, source: DmabufSource): Thread<Errno | undefined> {
  const { resv } = attachment.dmabuf;
  yield resv;
  try {
    if (current().kernel.features.importerPins) {
      const refused = pin(attachment);
      if (refused !== undefined) return refused;
      source.pinned = true;
    }
    const phys = interconnect(attachment);
    if (isErrno(phys)) {
      if (source.pinned) unpin(attachment);
      return phys;
    }
    source.phys = phys;
    source.len = compact(phys.len);
    return undefined;
  } finally {
    resv.release();
  }
}

/** The private interconnect of the exporters that there are. Locks: caller holds dma_resv. Fails: ENODEV, EOPNOTSUPP */
function interconnect(attachment: Attachment): PhysVec | Errno {
  const own = iommufdTestDmaBufIommufdMap(attachment);
  return own === 'EOPNOTSUPP' ? vfioPciDmaBufIommufdMap(attachment) : own;
}

/**
 * iopt_revoke_notify(): the exporter takes its memory back. Drops every translation that reaches it, before it returns.
 * Locks: caller holds dma_resv; takes pages->mutex and nothing else. Allocates nothing, cannot fail.
 */
export function* revokeNotify(pages: Pages): Thread {
  const source = pages.source as DmabufSource;
  assertHeld(source.dmabuf.resv);
  yield pages.mutex;
  try {
    // Also between attach and the interconnect, when nothing is mapped yet: then this is no revoke.
    if (source.len === 0) return;
    for (const area of source.tracker) {
      for (const domain of area.tracked) domain.unmap(area.iova, toNumber(area.length));
    }
    source.len = 0;
  } finally {
    pages.mutex.release();
  }
}

/** iopt_dmabuf_track_domain(): before the first map call of the pair. Locks: pages->mutex. Fails: ENOMEM */
export function trackDomain(pages: Pages, area: Area, domain: Domain): Errno | undefined {
  const { source } = pages;
  if (source.kind !== 'dmabuf') return undefined;
  assertHeld(pages.mutex);
  if (shouldFail('iopt_dmabuf_track_domain')) return 'ENOMEM';
  warnOn(area.tracked.includes(domain), 'an area is tracked twice for one domain');
  // Unlike a spread, which leaves room for more, `concat` gives a list as long as it must be.
  area.tracked = area.tracked.length === 0 ? domain.alone : area.tracked.concat(domain);
  source.tracker.add(area);
  return undefined;
}

/** iopt_dmabuf_track_all_domains(). Locks: pages->mutex. Fails: ENOMEM, and then tracks none */
export function trackAllDomains(pages: Pages, area: Area, domains: readonly Domain[]): Errno | undefined {
  for (const domain of domains) {
    const failed = trackDomain(pages, area, domain);
    if (failed !== undefined) {
      untrackAllDomains(pages, area);
      return failed;
    }
  }
  return undefined;
}

/** iopt_dmabuf_untrack_domain(): after the last unmap call of the pair. Locks: pages->mutex */
export function untrackDomain(pages: Pages, area: Area, domain: Domain): void {
  const { source } = pages;
  if (source.kind !== 'dmabuf') return;
  assertHeld(pages.mutex);
  warnOn(!area.tracked.includes(domain), 'an area is untracked for a domain that was not tracked');
  area.tracked = area.tracked.length === 1 ? UNTRACKED : area.tracked.filter((other) => other !== domain);
  if (area.tracked.length === 0) source.tracker.delete(area);
}

/** iopt_dmabuf_untrack_all_domains(). Locks: pages->mutex */
export function untrackAllDomains(pages: Pages, area: Area): void {
  const { source } = pages;
  if (source.kind !== 'dmabuf') return;
  assertHeld(pages.mutex);
  area.tracked = UNTRACKED;
  source.tracker.delete(area);
}

/**
 * The end of a dma-buf's pages: unpin under dma_resv, detach, and only then give up the buffer. When detach has
 * returned no callback runs or will run, so the caller may destroy the mutex that the callback takes.
 */
export function* releaseDmabuf(source: DmabufSource): Thread {
  const { dmabuf, attachment, pinned } = source;
  if (pinned) yield* unpinAtLast(attachment);
  yield* detach(attachment);
  dmabuf.file.put();
  warnOn(source.tracker.size > 0, 'dma-buf pages released with tracker entries');
}

/** Locks: takes dma_resv, in versions that know that unpinning needs it */
function* unpinAtLast(attachment: Attachment): Thread {
  if (!current().kernel.features.unpinHoldsResv) {
    unpin(attachment);
    return;
  }
  const { resv } = attachment.dmabuf;
  yield resv;
  try {
    unpin(attachment);
  } finally {
    resv.release();
  }
}
