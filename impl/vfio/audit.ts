/**
 * What a device at rest holds.
 *
 * Source: vfio-dmabuf V-13, V-18
 */
import type { VfioPciDevice } from './pci-device.ts';

/** Append a line for each breach; count the references that open devices hold, for audit number `audit`. */
export function auditDevices(devices: Iterable<VfioPciDevice>, audit: number, breaches: string[]): void {
  for (const device of devices) {
    const { name, file, dmabufs } = device;
    // The driver's own, one for the open file, and one for each buffer that has not lost its device.
    const registrations = 1 + (file === undefined ? 0 : 1) + dmabufs.length;
    if (device.registration.count !== registrations) {
      breaches.push(`${name} counts ${device.registration.count} registrations, and ${registrations} are found`);
    }
    if (device.openCount !== (file?.iommufd === undefined ? 0 : 1)) {
      breaches.push(`${name} is open ${device.openCount} times`);
    }
    file?.iommufd?.count(audit);
    for (const priv of dmabufs) {
      if (priv.vdev !== device) breaches.push(`${priv.dmabuf.name} is on the list of ${name}, which it has lost`);
      if (priv.kref.count !== 1) breaches.push(`${priv.dmabuf.name} has a drain token of ${priv.kref.count} at rest`);
      if (priv.dmabuf.resv.locked) breaches.push(`${priv.dmabuf.name} is left locked`);
    }
    if (device.memoryLock.locked || device.devSet.lock.locked || device.group.mutex.locked) {
      breaches.push(`${name} is left locked`);
    }
  }
}
