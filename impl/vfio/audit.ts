/**
 * What a device at rest holds.
 *
 * Source: vfio-dmabuf V-13, V-18, V-47, V-59, V-60
 */
import { DmaBuf } from '../dmabuf/dma-buf.ts';
import type { File } from '../kernel/file.ts';
import type { List } from '../kernel/list.ts';
import type { Live } from '../kernel/live.ts';
import { PCI_COMMAND_MEMORY, PCI_D3HOT, type VfioPciDevice } from './pci-device.ts';
import { type VfioPciDmaBuf, vfioPciDmaBufOf } from './pci-dmabuf.ts';
import { VfioDeviceFile } from './vfio-device.ts';

/**
 * Append a line for each breach; count the references that open devices hold, for audit number `audit`. `files` are all
 * that live: besides its newest a device may have older ones, which CPU mappings keep.
 */
export function auditDevices(
  devices: Iterable<VfioPciDevice>,
  files: List<Live>,
  audit: number,
  breaches: string[],
): void {
  const open: VfioDeviceFile[] = [];
  for (let file = files.first; file !== undefined; file = file.next) {
    const { what } = file as File;
    if (what instanceof DmaBuf) auditBufferMappings(what, audit, breaches);
    else if (what instanceof VfioDeviceFile) open.push(what);
  }
  for (const device of devices) {
    const { name, dmabufs } = device;
    let opened = 0;
    let bound = 0;
    for (const what of open) {
      if (what.device !== device) continue;
      opened++;
      const owner = what.iommufd ?? what.container;
      if (owner === undefined) continue;
      bound++;
      owner.count(audit);
    }
    // The driver's own, one for each open file, and one for each buffer that has not lost its device.
    // The driver's own goes when the function is pulled out, and it waits for the others.
    const registrations = (device.environment.removed ? 0 : 1) + opened + dmabufs.length;
    if (device.registration.count !== registrations) {
      breaches.push(`${name} counts ${device.registration.count} registrations, and ${registrations} are found`);
    }
    if (device.openCount !== bound || bound > 1) breaches.push(`${name} is open ${device.openCount} times`);
    auditBuffers(device, breaches);
    auditMappings(device, breaches);
    if (device.memoryLock.locked || device.devSet.lock.locked || device.group.mutex.locked) {
      breaches.push(`${name} is left locked`);
    }
  }
}

function auditBuffers(device: VfioPciDevice, breaches: string[]): void {
  for (const priv of device.dmabufs) {
    if (priv.vdev !== device) breaches.push(`${priv.dmabuf.name} is on the list of ${device.name}, which it has lost`);
    auditToken(priv, breaches);
    if (priv.dmabuf.resv.locked) breaches.push(`${priv.dmabuf.name} is left locked`);
  }
}

/** The token of a buffer on its device's list. */
export function auditToken({ dmabuf, kref, vdev }: VfioPciDmaBuf, breaches: string[]): void {
  if (vdev === undefined || kref.count === 1) return;
  const line = `${dmabuf.name} has a drain token of ${kref.count} at rest`;
  if (!breaches.includes(line)) breaches.push(line);
}

/**
 * V-47, V-59: the CPU has no entry for a buffer that is revoked, or does not answer. V-60: one that stands behind a
 * mapping of a BAR keeps the device open.
 */
function auditBufferMappings(dmabuf: DmaBuf, audit: number, breaches: string[]): void {
  const priv = vfioPciDmaBufOf(dmabuf);
  if (priv === undefined) return;
  priv.vfile?.count(audit);
  if (priv.vfile !== undefined && priv.vdev === undefined) breaches.push(`${dmabuf.name} has lost the device it opens`);
  if (!priv.revoked && priv.vdev !== undefined && answersAtRest(priv.vdev)) return;
  for (const { mm, startPage, lastPage } of dmabuf.mapping.vmas) {
    if (mm.pageTable.leaves(startPage, lastPage).length === 0) continue;
    breaches.push(`${dmabuf.name} is ${priv.revoked ? 'revoked' : 'asleep'}, and the CPU reaches it all the same`);
  }
}

/** V-47: the CPU has no entry for a BAR that does not answer; every mapping keeps the device open. */
function auditMappings(device: VfioPciDevice, breaches: string[]): void {
  if (device.mapping.empty) return;
  const reachable = answersAtRest(device);
  for (const { mm, startPage, lastPage } of device.mapping.vmas) {
    if (device.vconfig === undefined) breaches.push(`${device.name} is mapped, but not open`);
    if (reachable || mm.pageTable.leaves(startPage, lastPage).length === 0) continue;
    breaches.push(`${device.name} does not answer, and the CPU reaches it all the same`);
  }
}

/** Whether the CPU may have entries: `memoryEnabled` of a device at rest, and no low power. */
export const answersAtRest = ({ vconfig, power, noCommandMemory, engaged }: VfioPciDevice): boolean =>
  vconfig !== undefined &&
  power < PCI_D3HOT &&
  (noCommandMemory || (vconfig.command & PCI_COMMAND_MEMORY) !== 0) &&
  !engaged;
