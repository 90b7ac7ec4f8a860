/**
 * The lifetime rules: who holds which reference. At rest every count can be said exactly, so a reference, an
 * attachment, a tracker entry, a pin or a lock too many is seen as soon as it is there. The rules of each I/O address
 * space come with them.
 *
 * Where no lock was taken since all was found right, only what is counted without one is looked at. Otherwise all
 * references are counted. What else a pages object must keep to is about what its mutex, its buffer's reservation lock,
 * or a reference to it protects: unless one of them was taken since it was found right, it is so still. An audit of the
 * `whole` asks again.
 *
 * Source: iommufd I-16, I-26, I-64, I-70 to I-79; vfio-dmabuf V-13, V-18, V-47
 */

import { auditCharges } from './audit-charges.ts';
import { auditMappings, auditMm } from './audit-mm.ts';
import { dmaBufOf } from './dmabuf/dma-buf.ts';
import type { Domain } from './iommu/domain.ts';
import { Access } from './iommufd/access.ts';
import type { Area } from './iommufd/area.ts';
import { auditSpace } from './iommufd/audit.ts';
import { auditAccess, auditList, auditPins, countPins, type PinsOfAreas } from './iommufd/audit-accesses.ts';
import type { IommufdCtx } from './iommufd/context.ts';
import { IommufdDevice } from './iommufd/device.ts';
import { Hwpt } from './iommufd/hw-pagetable.ts';
import { Ioas } from './iommufd/ioas.ts';
import type { DmabufSource, Pages } from './iommufd/pages.ts';
import type { File } from './kernel/file.ts';
import type { Live } from './kernel/live.ts';
import type { Machine } from './machine.ts';
import { answersAtRest, auditDevices } from './vfio/audit.ts';

/** One audit: its number tells what it has counted from what an earlier one did. */
interface Audit {
  readonly number: number;
  readonly whole: boolean;
  readonly pins: PinsOfAreas;
  readonly breaches: string[];
}

let audits = 0;

/** All breaches on a machine at rest, a line each. */
export function audit(machine: Machine, whole: boolean): string[] {
  if (!whole && undisturbed(machine)) return [];
  const it: Audit = { number: ++audits, whole, pins: new Map(), breaches: [] };
  for (const file of machine.fds.files) file.count(it.number);
  for (const ctx of machine.contexts) auditContext(it, ctx);
  auditDevices(machine.devices.values(), machine.kernel.live.files, it.number, it.breaches);
  for (const { mm } of machine.processes) auditMm(mm, it.number, it.breaches);
  auditProcesses(it, machine);
  auditMemory(it, machine);
  auditCharges(machine, it.breaches);
  machine.kernel.live.foundRight = it.breaches.length === 0 ? disturbances(machine) : undefined;
  return it.breaches;
}

/** Whatever else is audited changes under a lock, or with a table. */
const disturbances = ({ kernel }: Machine): number => kernel.lockdep.acquisitions + kernel.live.tableChanges;

/** All was found right, no lock was taken since and no table changed, and who counts references counts as many. */
function undisturbed(machine: Machine): boolean {
  const { live } = machine.kernel;
  if (live.foundRight !== disturbances(machine)) return false;
  for (const file of live.files) if (file.references !== file.found) return false;
  for (const pages of live.pages) if (pages.references !== pages.found) return false;
  for (const { table } of machine.contexts) {
    for (const object of table) if (object !== undefined && object.users !== object.usersFound) return false;
  }
  return true;
}

/** What processes have mapped; and V-47: none reaches a BAR that does not answer, whatever the trees of files say. */
function auditProcesses(it: Audit, machine: Machine): void {
  const { live } = machine.kernel;
  const found = it.breaches.length;
  if (it.whole || live.mappingsFoundRight !== live.mappingChanges) {
    for (const { mm } of machine.processes) auditMappings(mm, it.breaches);
    live.mappingsFoundRight = it.breaches.length === found ? live.mappingChanges : undefined;
  }
  machine.eachReached(({ name }, { memory }) => {
    const device = machine.devices.get(memory.slice(0, memory.indexOf(':')));
    if (device !== undefined && !answersAtRest(device))
      it.breaches.push(`${name} reaches ${memory}, which does not answer`);
  });
}

/** Every reference to the object was found, and no other. */
function auditReferences({ number, breaches }: Audit, object: Live): void {
  const found = object.audit === number ? object.found : 0;
  const { references } = object;
  if (found !== references) breaches.push(`${object.label} counts ${references} references, and ${found} are found`);
}

/** I-79 and I-64: users of every object, the domains of every IOAS, and the areas in it. */
function auditContext(it: Audit, ctx: IommufdCtx): void {
  for (const object of ctx.table) {
    if (object === undefined) continue;
    let users = 1;
    if (object instanceof Ioas) {
      users += object.hwpts.length + object.iopt.accesses.size;
      auditIoas(it, object);
    } else if (object instanceof Hwpt) {
      for (const igroup of ctx.groups.values()) if (igroup.hwpt === object) users += igroup.attached.size;
    } else if (object instanceof IommufdDevice) {
      users += object.igroup.attached.has(object) ? 2 : 1;
      if (!object.dev.selftest) ctx.file.count(it.number);
    } else if (object instanceof Access) {
      users++;
      if (!object.internal) ctx.file.count(it.number);
      auditAccess(object, it.breaches);
    }
    if (!object.finalized) it.breaches.push(`${object.kind} ${object.id} has a number, and is not to be found`);
    object.usersFound = users;
    if (object.users !== users) {
      it.breaches.push(`${object.kind} ${object.id} counts ${object.users} users, and ${users} are found`);
    }
  }
}

function auditIoas(it: Audit, ioas: Ioas): void {
  const { iopt } = ioas;
  if (iopt.domains.length !== ioas.hwpts.length) {
    it.breaches.push(`${ioas.name} has ${iopt.domains.length} domains for ${ioas.hwpts.length} page tables`);
  }
  if (iopt.domainsRwsem.locked || iopt.iovaRwsem.locked || ioas.mutex.locked) {
    it.breaches.push(`${ioas.name} is left locked`);
  }
  auditSpace(ioas.name, iopt, it.whole, it.breaches);
  auditList(iopt, it.breaches);
  for (const area of iopt.areas.all()) auditArea(it, area, iopt.domains);
}

/** I-16: the tracker has every domain of the area's IOAS; I-64: its storage is one of them. */
function auditArea(it: Audit, area: Area, domains: readonly Domain[]): void {
  const { pages, storage } = area;
  if (pages === undefined) {
    it.breaches.push('an area is left in set-up or teardown');
    return;
  }
  pages.count(it.number);
  countPins(area, it.pins);
  const stored = storage === undefined ? domains.length === 0 : domains.includes(storage);
  if (!stored) it.breaches.push('an area is stored in no domain of its IOAS');
  const { source } = pages;
  if (source.kind === 'dmabuf' && !sameDomains(area.tracked, domains)) {
    it.breaches.push(`an area on ${source.dmabuf.name} is tracked for other domains than its IOAS has`);
  }
}

function sameDomains(tracked: readonly Domain[], domains: readonly Domain[]): boolean {
  if (tracked.length !== domains.length) return false;
  for (const domain of domains) if (!tracked.includes(domain)) return false;
  return true;
}

/** I-70 to I-73: what a pages object holds of a buffer or a file. */
function auditPages(it: Audit, pages: Pages): void {
  const { source, mutex, kref } = pages;
  auditPins(pages, it.pins, it.breaches);
  let touches = mutex.taken + kref.changes;
  if (source.kind === 'file') source.file.count(it.number);
  if (source.kind === 'dmabuf') {
    source.dmabuf.file.count(it.number);
    touches += source.dmabuf.resv.taken;
  }
  if (!it.whole && pages.touches === touches) return;
  const found = it.breaches.length;
  if (mutex.locked) it.breaches.push(`${pages.label} are left locked`);
  if (source.kind === 'dmabuf') auditImport(it, pages, source);
  if (it.breaches.length === found) pages.touches = touches;
}

function auditImport(it: Audit, pages: Pages, { dmabuf, attachment, tracker }: DmabufSource): void {
  if (!dmabuf.isAttached(attachment)) it.breaches.push(`pages on ${dmabuf.name} have lost their attachment`);
  for (const area of tracker) {
    if (area.pages !== pages || area.tracked.length === 0)
      it.breaches.push(`${dmabuf.name} tracks an area that is no longer its own`);
  }
  if (pages.npinned !== 0) it.breaches.push(`pages of ${dmabuf.name} are pinned`);
}

/**
 * I-26 and I-77: pages are pinned as often as the pages objects say. I-70: so are the attachments of all buffers
 * together as many as the pages objects on buffers, each of which was found among its buffer's.
 */
function auditMemory(it: Audit, machine: Machine): void {
  let pins = 0;
  let importers = 0;
  let attachments = 0;
  for (const pages of machine.kernel.live.pages) {
    auditReferences(it, pages);
    auditPages(it, pages as Pages);
    pins += (pages as Pages).npinned;
    if ((pages as Pages).source.kind === 'dmabuf') importers++;
  }
  for (const file of machine.kernel.live.files) {
    auditReferences(it, file);
    attachments += dmaBufOf(file as File)?.attached ?? 0;
  }
  let pinned = 0;
  for (const backing of machine.ram.backings) pinned += backing.pinned;
  if (pins !== pinned) it.breaches.push(`${pinned} pages are pinned, and ${pins} pins are accounted for`);
  if (importers !== attachments) it.breaches.push(`${importers} imports have ${attachments} attachments`);
}
