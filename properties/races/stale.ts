/** The first invariant, as far as domains go: what was taken back is not mapped. */
import { Ioas } from '../../impl/iommufd/ioas.ts';
import { hex } from '../../impl/kernel/units.ts';
import type { Machine } from '../../impl/machine.ts';
import type { VfioPciDmaBuf } from '../../impl/vfio/pci-dmabuf.ts';

/** An area whose buffer is revoked and that a domain still translates, while dma_resv is free; in words. */
export function staleTranslation(machine: Machine): string | undefined {
  for (const { dmabufs } of machine.devices.values()) {
    for (const priv of dmabufs) {
      if (!priv.revoked || priv.dmabuf.resv.locked) continue;
      const found = translated(machine, priv);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

function translated(machine: Machine, { dmabuf }: VfioPciDmaBuf): string | undefined {
  for (const { objects } of machine.contexts) {
    for (const object of objects) {
      if (!(object instanceof Ioas)) continue;
      for (const area of object.iopt.areas.all()) {
        const source = area.pages?.source;
        if (source?.kind !== 'dmabuf' || source.dmabuf !== dmabuf) continue;
        for (const domain of object.iopt.domains) {
          if (domain.stretches(area.iova, area.last).length === 0) continue;
          return `${domain.name} ${hex(area.iova)} is mapped, but its owner has taken ${dmabuf.name} back`;
        }
      }
    }
  }
  return undefined;
}
