/**
 * The first invariant at any step: what was taken back is not mapped, once nobody holds the lock under which it is
 * taken back.
 */
import { Ioas } from '../../impl/iommufd/ioas.ts';
import { hex } from '../../impl/kernel/units.ts';
import type { Machine } from '../../impl/machine.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import type { VfioPciDmaBuf } from '../../impl/vfio/pci-dmabuf.ts';

/**
 * In words: every area whose buffer is revoked and that a domain still translates, while dma_resv is free; and all that
 * the CPU reaches of a device whose memory does not answer, while memory_lock is free.
 */
export function staleTranslations(machine: Machine): string[] {
  const found: string[] = [];
  for (const device of machine.devices.values()) {
    for (const priv of device.dmabufs) {
      if (priv.revoked && !priv.dmabuf.resv.locked) addTranslated(machine, priv, found);
    }
    if (!device.memoryLock.locked && !answers(device)) addReached(machine, device, found);
  }
  return found;
}

const PCI_D3HOT = 3;
const PCI_COMMAND_MEMORY = 2;

/** As it was made, no register is written yet, and the memory answers. */
const answers = ({ power, vconfig, noCommandMemory }: VfioPciDevice): boolean =>
  power < PCI_D3HOT && (noCommandMemory || vconfig === undefined || (vconfig.command & PCI_COMMAND_MEMORY) !== 0);

function addTranslated(machine: Machine, { dmabuf }: VfioPciDmaBuf, found: string[]): void {
  for (const { objects } of machine.contexts) {
    for (const object of objects) {
      if (!(object instanceof Ioas)) continue;
      for (const area of object.iopt.areas.all()) {
        const source = area.pages?.source;
        if (source?.kind !== 'dmabuf' || source.dmabuf !== dmabuf) continue;
        for (const domain of object.iopt.domains) {
          if (domain.stretches(area.iova, area.last).length === 0) continue;
          found.push(`${domain.name} ${hex(area.iova)} is mapped, but its owner has taken ${dmabuf.name} back`);
        }
      }
    }
  }
}

function addReached(machine: Machine, { name }: VfioPciDevice, found: string[]): void {
  for (const { memory, offset, map } of machine.cpuMappings()) {
    if (!memory.startsWith(`${name}:`)) continue;
    found.push(
      `the CPU reaches ${memory}+${hex(offset)} through ${map ?? 'a mapping'}, but its memory does not answer`,
    );
  }
}
