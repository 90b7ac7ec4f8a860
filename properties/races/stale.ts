/** The first invariant at any step: what a revoke has taken back is not mapped, once nobody holds the buffer's lock. */

import { Ioas } from '../../impl/iommufd/ioas.ts';
import { hex } from '../../impl/kernel/units.ts';
import type { Machine } from '../../impl/machine.ts';
import type { VfioPciDmaBuf } from '../../impl/vfio/pci-dmabuf.ts';

/** Every area whose buffer is revoked and that a domain still translates, in words. */
export function staleTranslations(machine: Machine): string[] {
  const gone: VfioPciDmaBuf[] = [];
  for (const { dmabufs } of machine.devices.values()) {
    for (const priv of dmabufs) if (priv.revoked && !priv.dmabuf.resv.locked) gone.push(priv);
  }
  return gone.length === 0 ? [] : gone.flatMap((priv) => translated(machine, priv));
}

function translated(machine: Machine, { dmabuf }: VfioPciDmaBuf): string[] {
  const found: string[] = [];
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
  return found;
}
