/** Exporters that are not vfio-pci: V-67 and V-68. */
import type { Row } from './row.ts';

export const otherExporters: readonly Row[] = [
  {
    id: 'V-67',
    says: 'A mapping of a buffer of the system heap is the same, made page by page or chunk by chunk.',
    checks: [],
    proofs: [],
    impossible: 'dma-buf heaps are not implemented; nothing here exports memory that consists of chunks',
  },
  {
    id: 'V-68',
    says: 'The table of a shmem object is freed once, and no DMA mapping of it outlives the binding of the device.',
    checks: [],
    proofs: [],
    impossible: 'shmem objects of graphics drivers are not implemented; a device here has no driver of its own',
  },
];
