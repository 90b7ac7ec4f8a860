/** What every mapping of device memory by the CPU has in common. */
import { pgprotDecrypted, pgprotNoncached, pgprotWritecombine } from '../kernel/pgprot.ts';
import type { Vma, VmFlag } from '../kernel/vma.ts';

/** How a mapping treats device memory: uncached, or write-combining; by their numbers. */
export const MEMATTRS = ['NC', 'WC'] as const;
export type MemAttr = (typeof MEMATTRS)[number];

/** It has no pages, does not grow, stays out of core dumps, and a guest may choose how it reaches the memory. */
const FLAGS: readonly VmFlag[] = ['ALLOW_ANY_UNCACHED', 'IO', 'PFNMAP', 'DONTEXPAND', 'DONTDUMP'];

/**
 * The mapping is one of device memory from now on.
 * Source: drivers/vfio/pci/vfio_pci_core.c, vfio_pci_core_mmap(); vfio-dmabuf 6.1, 6.3
 */
export function setPfnMap(vma: Vma, memattr: MemAttr): void {
  setCachedPfnMap(vma);
  const treat = memattr === 'WC' ? pgprotWritecombine : pgprotNoncached;
  vma.pageProt = pgprotDecrypted(treat(vma.pageProt));
}

/** The same of memory that is coherent, which is mapped like RAM. */
export function setCachedPfnMap(vma: Vma): void {
  for (const flag of FLAGS) vma.flags.add(flag);
}
