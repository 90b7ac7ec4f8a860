/** IOMMU groups: the devices that the hardware cannot tell apart. They share one domain and one owner of their DMA. */
import { Mutex } from '../kernel/mutex.ts';
import type { Iova } from '../kernel/units.ts';
import type { Domain } from './domain.ts';

export interface ReservedRegion {
  readonly start: Iova;
  readonly last: Iova;
}

export class IommuGroup {
  readonly id: number;
  /** The iommu core's group mutex: protects `domain` and `owner`. */
  readonly mutex: Mutex;
  /** What the group's DMA goes through; without one, DMA reaches nothing. */
  domain: Domain | undefined;
  /** Who claimed the group's DMA (an iommufd context), and how many of its devices did. */
  owner: object | undefined;
  ownerCount = 0;

  constructor(id: number) {
    this.id = id;
    this.mutex = new Mutex(`iommu_group${id}.mutex`, 'iommu_group.mutex');
  }
}

/** A device that does DMA, as the IOMMU side sees it. */
export interface DmaDevice {
  readonly name: string;
  readonly group: IommuGroup;
  /** What the platform reserves in the address space of whoever attaches this device (MSI windows). */
  readonly reserved: readonly ReservedRegion[];
  /** A mock device, which is part of the context that it is bound to, and so must not keep it open. */
  readonly selftest?: true;
  /** The flags of HWPT_ALLOC that its IOMMU driver knows, besides that of dirty tracking; none where absent. */
  readonly hwptFlags?: number;
  /** Whether its DMA can set dirty bits. */
  readonly dirtyTracking?: boolean;
}
