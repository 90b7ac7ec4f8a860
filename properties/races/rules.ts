/**
 * What must hold of devices at every step, wherever nobody holds the memory lock that guards it: what the CPU reaches,
 * and what the drain of a revoke promises.
 *
 * Source: iommufd 8.1; vfio-dmabuf 2.7, 7.3; V-13, V-14, V-47, V-59
 */
import type { Machine } from '../../impl/machine.ts';
import { PCI_COMMAND_MEMORY, PCI_D3HOT, type VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { neverMappedWhileRevoked } from '../../model/invariants.ts';
import type { Breach } from './breach.ts';

/** The first rule that is broken now, and how; undefined when all is well. */
export function brokenRule(machine: Machine): Breach | undefined {
  for (const device of machine.devices.values()) {
    if (device.memoryLock.locked) continue;
    const reached = reachedByCpu(machine, device);
    if (reached !== undefined) return { kind: neverMappedWhileRevoked.name, what: reached };
    const undrained = notDrained(device);
    if (undrained !== undefined) return { kind: 'rule', what: undrained };
  }
  return undefined;
}

/** What is off, or was taken back, and has entries. */
function reachedByCpu(machine: Machine, device: VfioPciDevice): string | undefined {
  for (const { dmabuf, status } of device.dmabufs) {
    if (dmabuf.file.refs.count > 0 && status !== 'OK' && hasEntries(dmabuf.mapping))
      return `${dmabuf.name} is revoked, and a CPU reaches it`;
  }
  const shut = device.engaged || !memoryOn(device);
  return shut && reachesBar(machine, device) ? `a CPU reaches a BAR of ${device.name}, which is off` : undefined;
}

/** V-47 speaks of every entry there is: also of one that a zap cannot find, because no tree of a file leads to it. */
function reachesBar(machine: Machine, { name }: VfioPciDevice): boolean {
  let reaches = false;
  machine.eachReached((_, { memory }) => {
    reaches ||= memory.startsWith(`${name}:`);
  });
  return reaches;
}

const hasEntries = ({ vmas }: VfioPciDevice['mapping']): boolean => {
  for (const { mm, startPage, lastPage } of vmas) if (mm.pageTable.leaves(startPage, lastPage).length > 0) return true;
  return false;
};

function notDrained(device: VfioPciDevice): string | undefined {
  const answers = memoryOn(device);
  for (const { dmabuf, status, kref, comp } of device.dmabufs) {
    if (dmabuf.file.refs.count === 0) continue; // Nobody can use it, and a revoke leaves it out.
    const maps = dmabuf.attachments.reduce((sum, { liveMaps }) => sum + liveMaps, 0);
    if (status === 'OK' && !answers) return `${dmabuf.name} is usable, and the memory of ${device.name} is off`;
    if (status !== 'OK' && maps > 0) return `${dmabuf.name} is revoked, and ${maps} DMA maps live`;
    if (kref.count !== maps + 1) return `the token of ${dmabuf.name} is ${kref.count} with ${maps} DMA maps`;
    if (comp.ready()) return `the token of ${dmabuf.name} is drained, and not armed again`;
    if (status !== 'OK' && !dmabuf.resv.testSignaled(3)) return `${dmabuf.name} is revoked, and work goes on`;
  }
  return undefined;
}

/** M(d), which wants the lock; a device that is closed has no buffers. */
export const memoryOn = ({ vconfig, power, noCommandMemory }: VfioPciDevice): boolean =>
  power < PCI_D3HOT && (noCommandMemory || ((vconfig?.command ?? 0) & PCI_COMMAND_MEMORY) !== 0);
