/**
 * The lifetime rules: who holds which reference. At rest every count can be said exactly, so a reference, an
 * attachment, a tracker entry, a pin or a lock too many is seen as soon as it is there. The rules of each I/O address
 * space come with them.
 *
 * Areas and pages objects, of which there are many, are looked at when something has disturbed them: a field of theirs
 * was written, a lock of theirs taken, or a reference to them came or went. So is what is counted without any lock, and
 * an IOAS that somebody uses. Pins and charges are summed up when one of their counts was written. Who holds what is
 * looked at when a table has changed, or a mapping, or a lock was taken that protects more than areas and their pages.
 * An audit of the `whole` asks everything again.
 *
 * Source: iommufd I-16, I-26, I-64, I-70 to I-79; vfio-dmabuf V-13, V-18, V-47
 */

import { auditCharges } from './audit-charges.ts';
import { type Audit, auditDisturbed } from './audit-disturbed.ts';
import { auditMappings, auditMm } from './audit-mm.ts';
import { Access } from './iommufd/access.ts';
import { auditAccess, countPins, type PinsOfAreas } from './iommufd/audit-accesses.ts';
import type { IommufdCtx } from './iommufd/context.ts';
import { IommufdDevice } from './iommufd/device.ts';
import { Hwpt } from './iommufd/hw-pagetable.ts';
import { Ioas } from './iommufd/ioas.ts';
import { Pages } from './iommufd/pages.ts';
import type { Audited, Ghosts } from './kernel/ghosts.ts';
import type { Live } from './kernel/live.ts';
import type { Machine } from './machine.ts';
import { answersAtRest, auditDevices } from './vfio/audit.ts';

/** All breaches on a machine at rest, a line each. */
export function audit(machine: Machine, whole: boolean): readonly string[] {
  const { live } = machine.kernel;
  const all = whole || live.foundRight === undefined || (live.accessed && disturbsAccesses(live));
  const holders = machine.kernel.lockdep.others + live.tableChanges + live.mappingChanges;
  if (!all && live.foundRight === holders && isUndisturbed(live)) return NOTHING;
  const it: Audit = {
    machine,
    whole: all,
    pins: all ? new Map() : NO_PINS,
    breaches: live.orphans.length === 0 ? [] : live.orphans.splice(0),
  };
  if (all) lookAtAll(it);
  if (all || live.foundRight !== holders) auditHolders(it);
  for (let i = 0; i < live.count; i++) auditDisturbed(it, live.disturbed[i] as Audited);
  if (all || live.chargesAudited !== live.chargeChanges) auditCharges(machine, it.breaches);
  live.settle(it.breaches.length === 0 ? holders : undefined);
  return it.breaches;
}

const NO_PINS: PinsOfAreas = new Map();
const NOTHING: readonly string[] = [];

/** Whether there is nothing to look at but who holds what. */
const isUndisturbed = ({ count, orphans, chargesAudited, chargeChanges }: Ghosts): boolean =>
  count === 0 && orphans.length === 0 && chargesAudited === chargeChanges;

/** What accesses pin of a pages object is said by all of its areas together. */
function disturbsAccesses({ disturbed, count }: Ghosts): boolean {
  for (let i = 0; i < count; i++) {
    const it = disturbed[i];
    if (it instanceof Pages && it.accesses !== undefined) return true;
  }
  return false;
}

/** Everything is to be looked at, and what is told when it comes and goes is counted anew. */
function lookAtAll({ machine, pins }: Audit): void {
  const { live } = machine.kernel;
  for (let file = live.files.first; file !== undefined; file = file.next) lookAgain(live, file);
  for (let pages = live.pages.first; pages !== undefined; pages = pages.next) {
    lookAgain(live, pages);
    (pages as Pages).file?.keep(1);
  }
  for (const ctx of machine.contexts) {
    for (const object of ctx.table) {
      if (!(object instanceof Ioas)) continue;
      for (const area of object.iopt.areas.all()) {
        area.pages?.keep(1);
        countPins(area, pins);
        live.lookAt(area);
      }
    }
  }
}

function lookAgain(live: Ghosts, it: Live): void {
  it.kept = 0;
  live.lookAt(it);
}

/** Who holds files and objects: tables, devices, contexts and mappings. */
function auditHolders(it: Audit): void {
  const { machine, breaches } = it;
  const { live } = machine.kernel;
  live.counted = live.audits;
  for (const file of machine.fds.files) file.count(live.audits);
  for (const ctx of machine.contexts) auditContext(it, ctx);
  auditDevices(machine.devices.values(), live.files, live.audits, breaches);
  for (const { mm } of machine.processes) auditMm(mm, live.audits, breaches);
  auditProcesses(it);
  for (let file = live.files.first; file !== undefined; file = file.next) {
    if (file.references !== file.foundBy(live.audits)) live.lookAt(file);
  }
}

/** What processes have mapped; and V-47: none reaches a BAR that does not answer, whatever the trees of files say. */
function auditProcesses({ machine, whole, breaches }: Audit): void {
  const { live } = machine.kernel;
  const found = breaches.length;
  if (whole || live.mappingsFoundRight !== live.mappingChanges) {
    for (const { mm } of machine.processes) auditMappings(mm, breaches);
    live.mappingsFoundRight = breaches.length === found ? live.mappingChanges : undefined;
  }
  machine.eachReached(({ name }, { memory }) => {
    const device = machine.devices.get(memory.slice(0, memory.indexOf(':')));
    if (device !== undefined && !answersAtRest(device))
      breaches.push(`${name} reaches ${memory}, which does not answer`);
  });
}

/** I-79 and I-64: users of every object, and the domains of every IOAS. */
function auditContext(it: Audit, ctx: IommufdCtx): void {
  const { live } = it.machine.kernel;
  for (const object of ctx.table) {
    if (object === undefined) continue;
    let users = 1;
    if (object instanceof Ioas) {
      users += object.hwpts.length + object.iopt.accesses.size;
      live.lookAt(object.ghost);
    } else if (object instanceof Hwpt) {
      for (const igroup of ctx.groups.values()) if (igroup.hwpt === object) users += igroup.attached.size;
    } else if (object instanceof IommufdDevice) {
      users += object.igroup.attached.has(object) ? 2 : 1;
      if (!object.dev.selftest) ctx.file.count(live.audits);
    } else if (object instanceof Access) {
      users++;
      if (!object.internal) ctx.file.count(live.audits);
      auditAccess(object, it.breaches);
    }
    if (!object.finalized) it.breaches.push(`${object.kind} ${object.id} has a number, and is not to be found`);
    object.usersFound = users;
    if (object.users !== users) live.lookAt(object.ghost);
  }
}
