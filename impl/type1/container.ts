/**
 * A VFIO container with the type 1 IOMMU: what it has mapped, and the domain that all of its groups share. It is not
 * part of the protocol that this project checks: it is what was there before, and makes the promise that it breaks
 * visible.
 *
 * Source: drivers/vfio/vfio_iommu_type1.c; vfio-dmabuf 8.5
 */
import type { Domain, Iommu } from '../iommu/domain.ts';
import type { IommuGroup, ReservedRegion } from '../iommu/group.ts';
import { File } from '../kernel/file.ts';
import { IntervalNode, IntervalTree } from '../kernel/interval-tree.ts';
import type { Ram } from '../kernel/mm.ts';
import { Mutex } from '../kernel/mutex.ts';
import type { Process } from '../kernel/process.ts';
import type { Thread } from '../kernel/thread.ts';
import { type Iova, lastOf, type U64, type UserAddr, u64 } from '../kernel/units.ts';

/** `dma_entry_limit`: how many mappings a container may have. */
export const DMA_ENTRY_LIMIT = 65535;

/**
 * `vfio_dma`: one mapping. It knows an address of a process, and nothing of what lies there: no file, no mapping of the
 * process, no device. Only RAM is held, by pins.
 */
export class VfioDma extends IntervalNode {
  readonly vaddr: UserAddr;
  readonly npages: number;
  readonly prot: number;
  /** Whose memory it is, and who pays for what is pinned. */
  readonly process: Process;
  /** Pages of RAM that it has pinned. */
  pinned = 0;

  /** `npages` from `iova` on do not wrap. */
  constructor(iova: Iova, vaddr: UserAddr, npages: number, prot: number, process: Process) {
    super(iova, lastOf(iova, u64(npages, 0)) as U64);
    this.vaddr = vaddr;
    this.npages = npages;
    this.prot = prot;
    this.process = process;
  }

  get iova(): Iova {
    return this.start;
  }
}

/** A group in the container, with what its devices reserve. */
export interface GroupInContainer {
  readonly group: IommuGroup;
  readonly reserved: readonly ReservedRegion[];
}

/** `vfio_container` and `vfio_iommu` in one. */
export class Type1Container {
  readonly file: File;
  readonly iommu: Iommu;
  readonly ram: Ram;
  readonly name: string;
  /** VFIO_TYPE1v2_IOMMU: an unmap takes whole mappings or is refused. The first version takes more than it is asked. */
  readonly v2: boolean;
  /** `vfio_iommu.lock`: protects all the rest. */
  readonly lock: Mutex;
  readonly groups: GroupInContainer[] = [];
  /** What the groups' DMA goes through: one, because the machine has one IOMMU; absent while there is no group. */
  domain: Domain | undefined;
  readonly dmas = new IntervalTree<VfioDma>();
  /** `dma_avail` */
  dmaAvail = DMA_ENTRY_LIMIT;

  constructor(name: string, iommu: Iommu, ram: Ram, v2: boolean, release: (container: Type1Container) => Thread) {
    this.name = name;
    this.iommu = iommu;
    this.ram = ram;
    this.v2 = v2;
    this.lock = new Mutex(`${name}.lock`, 'vfio_iommu.lock');
    this.file = new File(name, this, () => release(this));
  }
}
