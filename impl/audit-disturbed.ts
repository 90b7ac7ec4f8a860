/**
 * What an audit finds of the areas, pages objects, files and objects of contexts that something has disturbed.
 *
 * Source: iommufd I-16, I-64, I-70 to I-79
 */
import { dmaBufOf } from './dmabuf/dma-buf.ts';
import type { Domain } from './iommu/domain.ts';
import { Area } from './iommufd/area.ts';
import { auditPlace, auditSpace } from './iommufd/audit.ts';
import { auditList, auditPins, type PinsOfAreas } from './iommufd/audit-accesses.ts';
import { IommufdObject } from './iommufd/context.ts';
import { Ioas } from './iommufd/ioas.ts';
import { type DmabufSource, Pages } from './iommufd/pages.ts';
import { File } from './kernel/file.ts';
import { type Audited, Ghost } from './kernel/ghosts.ts';
import type { Live } from './kernel/live.ts';
import { isFreed } from './kernel/poison.ts';
import type { Machine } from './machine.ts';
import { auditToken } from './vfio/audit.ts';
import { VfioPciDmaBuf } from './vfio/pci-dmabuf.ts';

export interface Audit {
  readonly machine: Machine;
  readonly whole: boolean;
  readonly pins: PinsOfAreas;
  readonly breaches: string[];
}

/** What is gone by now has nothing to keep to. */
export function auditDisturbed(it: Audit, object: Audited): void {
  const { live } = it.machine.kernel;
  if (object instanceof Area) {
    if (object.entered) auditArea(it, object);
  } else if (object instanceof Pages) {
    if (live.pages.has(object)) auditPages(it, object);
  } else if (object instanceof File) {
    if (live.files.has(object)) auditFile(it, object);
  } else if (object instanceof Ghost) {
    auditOther(it, object.of);
  }
}

function auditOther(it: Audit, object: object): void {
  if (object instanceof IommufdObject) {
    if (isFreed(object.ctx) || !object.ctx.has(object)) return;
    auditUsers(it, object);
    if (object instanceof Ioas) auditIoas(it, object);
  } else if (object instanceof VfioPciDmaBuf) {
    auditToken(object, it.breaches);
  }
}

function auditUsers({ breaches }: Audit, { kind, id, users, usersFound }: IommufdObject): void {
  if (users !== usersFound) breaches.push(`${kind} ${id} counts ${users} users, and ${usersFound} are found`);
}

/** I-64: the domains of an IOAS. When they or its rules have changed, its areas are all looked at. */
function auditIoas(it: Audit, ioas: Ioas): void {
  const { name, iopt, hwpts, mutex } = ioas;
  if (iopt.domains.length !== hwpts.length) {
    it.breaches.push(`${name} has ${iopt.domains.length} domains for ${hwpts.length} page tables`);
  }
  const { size, entered } = iopt.areas;
  if (size !== entered) it.breaches.push(`${name} has ${size} areas, of which ${entered} should be there`);
  if (iopt.domainsRwsem.locked || iopt.iovaRwsem.locked || mutex.locked) it.breaches.push(`${name} is left locked`);
  const same = auditSpace(name, iopt, it.whole, it.breaches);
  if (!same) for (const area of iopt.areas.all()) it.machine.kernel.live.lookAt(area);
  auditList(iopt, it.breaches);
}

/** Every reference to the object was found, and no other. */
function auditReferences({ machine, breaches }: Audit, object: Live): void {
  const found = object.foundBy(machine.kernel.live.counted);
  const { references } = object;
  if (found !== references) breaches.push(`${object.label} counts ${references} references, and ${found} are found`);
}

/** I-70: a buffer has as many attachments as there are pages objects on it, each of which is among them. */
function auditFile(it: Audit, file: File): void {
  auditReferences(it, file);
  const attached = dmaBufOf(file)?.attached ?? file.kept;
  if (attached !== file.kept) it.breaches.push(`${file.kept} imports have ${attached} attachments`);
}

/** I-16: the tracker has every domain of the area's IOAS; I-64: its storage is one of them. */
function auditArea(it: Audit, area: Area): void {
  const { pages, storage, tracked } = area;
  const { domains } = area.iopt;
  auditPlace(area, it.machine.contexts, it.breaches);
  if (pages === undefined) {
    it.breaches.push('an area is left in set-up or teardown');
    return;
  }
  const stored = storage === undefined ? domains.length === 0 : domains.includes(storage);
  if (!stored) it.breaches.push('an area is stored in no domain of its IOAS');
  const { source } = pages;
  if (source.kind === 'dmabuf' && !sameDomains(tracked, domains)) {
    it.breaches.push(`an area on ${source.dmabuf.name} is tracked for other domains than its IOAS has`);
  }
}

function sameDomains(tracked: readonly Domain[], domains: readonly Domain[]): boolean {
  if (tracked.length !== domains.length) return false;
  for (const domain of domains) if (!tracked.includes(domain)) return false;
  return true;
}

/** I-70 to I-73: what a pages object holds of a buffer, and what holds it. */
function auditPages(it: Audit, pages: Pages): void {
  const { source, mutex, accesses } = pages;
  auditReferences(it, pages);
  if (accesses !== undefined || it.pins.size > 0) auditPins(pages, it.pins, it.breaches);
  if (mutex.locked) it.breaches.push(`${pages.label} are left locked`);
  if (source.kind === 'dmabuf') auditImport(it, pages, source);
}

function auditImport(it: Audit, pages: Pages, { dmabuf, attachment, tracker }: DmabufSource): void {
  if (!dmabuf.isAttached(attachment)) it.breaches.push(`pages on ${dmabuf.name} have lost their attachment`);
  for (let area = tracker.first; area !== undefined; area = area.next) {
    if (area.pages !== pages || area.tracked.length === 0)
      it.breaches.push(`${dmabuf.name} tracks an area that is no longer its own`);
  }
  if (pages.npinned !== 0) it.breaches.push(`pages of ${dmabuf.name} are pinned`);
}
