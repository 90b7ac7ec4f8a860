/** `get_dmabuf_phys`: which physical memory the ranges of an export are, and whose it is for peer-to-peer DMA. */
import type { PhysVec } from '../dmabuf/sg-table.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import { type P2pdmaProvider, pcimP2pdmaProvider } from '../pci/p2pdma.ts';
import type { BarResource } from '../pci/topology.ts';
import type { VfioPciDevice } from './pci-device.ts';
import { type DmaRange, fillPhysVec } from './pci-dmabuf-ranges.ts';

export interface DmabufPhys {
  readonly provider: P2pdmaProvider;
  readonly physVec: readonly PhysVec[];
}

/** A driver's answer for an export of a region. */
export type GetDmabufPhys = (device: VfioPciDevice, region: number, ranges: readonly DmaRange[]) => DmabufPhys | Errno;

/** `vfio_pci_core_get_dmabuf_phys()`: a BAR. Fails: EINVAL without a provider; EOVERFLOW, EINVAL as the ranges do */
export const getDmabufPhys: GetDmabufPhys = (device, region, ranges) => {
  const provider = pcimP2pdmaProvider(device.pci, region);
  if (provider === undefined) return 'EINVAL';
  const physVec = fillPhysVec(device.bars.get(region) as BarResource, ranges);
  return isErrno(physVec) ? physVec : { provider, physVec };
};
