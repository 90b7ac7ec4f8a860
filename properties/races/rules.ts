/**
 * What must hold of devices at every step of every race, wherever nobody holds the memory lock that guards it: what the
 * CPU and domains reach, and what the drain of a revoke promises.
 *
 * Source: iommufd 8.1; vfio-dmabuf 2.7, 7.3; V-13, V-14, V-47, V-59
 */
import type { Machine } from '../../impl/machine.ts';
import { PCI_COMMAND_MEMORY, PCI_D3HOT, type VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { staleTranslation } from './stale.ts';

/** What is broken, in words; nothing, when all is well. */
export function broken(machine: Machine): string | undefined {
  const stale = staleTranslation(machine);
  if (stale !== undefined) return stale;
  for (const device of machine.devices.values()) {
    if (device.memoryLock.locked) continue;
    const found = atRest(device);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The memory lock of the device is free. */
function atRest(device: VfioPciDevice): string | undefined {
  const answers = memoryOn(device);
  for (const { dmabuf, status, kref, comp } of device.dmabufs) {
    if (dmabuf.file.refs.count === 0) continue; // Nobody can use it, and a revoke leaves it out.
    const maps = dmabuf.attachments.reduce((sum, { liveMaps }) => sum + liveMaps, 0);
    if (status === 'OK' && !answers) return `${dmabuf.name} is usable, and the memory of ${device.name} is off`;
    if (status !== 'OK' && maps > 0) return `${dmabuf.name} is revoked, and ${maps} DMA maps live`;
    if (kref.count !== maps + 1) return `the token of ${dmabuf.name} is ${kref.count} with ${maps} DMA maps`;
    if (comp.ready()) return `the token of ${dmabuf.name} is drained, and not armed again`;
    if (status !== 'OK' && !dmabuf.resv.testSignaled(3)) return `${dmabuf.name} is revoked, and work goes on`;
    if (status === 'OK') continue;
    for (const { mm, startPage, lastPage } of dmabuf.mapping.vmas) {
      if (mm.pageTable.leaves(startPage, lastPage).length > 0) return `${dmabuf.name} is revoked, and a CPU reaches it`;
    }
  }
  if (answers && !device.engaged) return undefined;
  const { vmas } = device.mapping;
  for (const { mm, startPage, lastPage } of vmas) {
    if (mm.pageTable.leaves(startPage, lastPage).length > 0)
      return `a CPU reaches a BAR of ${device.name}, which is off`;
  }
  return undefined;
}

/** M(d), which wants the lock; a device that is closed has no buffers. */
export const memoryOn = ({ vconfig, power, noCommandMemory }: VfioPciDevice): boolean =>
  power < PCI_D3HOT && (noCommandMemory || ((vconfig?.command ?? 0) & PCI_COMMAND_MEMORY) !== 0);
