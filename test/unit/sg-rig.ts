/** What tests of the lists of DMA addresses share: a buffer, and an importer's device that gets to it in some way. */
import { Attachment } from '../../impl/dmabuf/attachment.ts';
import { type DmaBuf, type DmaBufOps, dmaBufExport } from '../../impl/dmabuf/dma-buf.ts';
import { freeSgt, type PhysVec, physVecToSgt, type SgTable } from '../../impl/dmabuf/sg-table.ts';
import type { DmaDirection } from '../../impl/iommu/dma-api.ts';
import { DmaDirect } from '../../impl/iommu/dma-direct.ts';
import { type DmaDomain, DmaIommu } from '../../impl/iommu/dma-iommu.ts';
import type { Errno } from '../../impl/kernel/errno.ts';
import type { Kernel } from '../../impl/kernel/thread.ts';
import { type Iova, PAGE_SIZE, type PhysAddr, toNumber } from '../../impl/kernel/units.ts';
import { type P2pdmaProvider, pcimP2pdmaInit, pcimP2pdmaProvider } from '../../impl/pci/p2pdma.ts';
import { HostBridge, PCI_ACS_RR, type PciConfig, PciFunction } from '../../impl/pci/topology.ts';
import { Rig } from './vfio-rig.ts';

/** A domain that keeps whole stretches, so that a TiB costs no more than a page. */
export class SparseDomain implements DmaDomain {
  readonly granule: number;
  readonly stretches: { iova: number; phys: PhysAddr; length: number; prot: number }[] = [];

  constructor(granule = PAGE_SIZE) {
    this.granule = granule;
  }

  map(iova: Iova, phys: PhysAddr, length: number, prot: number): Errno | undefined {
    const at = toNumber(iova);
    if ([at, phys, length].some((value) => value % this.granule !== 0)) return 'EINVAL';
    const over = this.stretches.find((each) => each.iova < at + length && at < each.iova + each.length);
    if (over !== undefined) throw new Error(`map over a mapping at ${at.toString(16)}`);
    this.stretches.push({ iova: at, phys, length, prot });
    return undefined;
  }

  /** Whole stretches only, and together all that is asked for. */
  unmap(iova: Iova, length: number): void {
    const at = toNumber(iova);
    const inside = this.stretches.filter((each) => at <= each.iova && each.iova + each.length <= at + length);
    const cleared = inside.reduce((sum, each) => sum + each.length, 0);
    if (cleared !== length) throw new Error(`unmap of ${length} bytes at ${at.toString(16)}: ${cleared} are mapped`);
    for (const each of inside) this.stretches.splice(this.stretches.indexOf(each), 1);
  }

  /** Undefined where nothing is mapped. */
  translate(iova: number): PhysAddr | undefined {
    const found = this.stretches.find((each) => each.iova <= iova && iova < each.iova + each.length);
    return found && found.phys + iova - found.iova;
  }
}

/** How the importer's device gets to the memory. */
export type Way = 'bus' | 'window' | 'ranges' | 'ranges by IOMMU';

const BAR = { size: 0x1000, phys: 0x40_0000_0000, busAddress: 0xe000_0000 };
const APERTURE = [0, 2 ** 48 - 1] as const;

/** An IOMMU of which no window can be had, but single pieces can. */
class NoWindows extends DmaIommu {
  override iovaTryAlloc(): undefined {
    return undefined;
  }
}

const OPS: DmaBufOps = { mapDmaBuf: () => 'EINVAL', unmapDmaBuf: () => {}, *release() {} };

export class SgRig {
  readonly #rig = new Rig();
  readonly domain = new SparseDomain();
  readonly dma: DmaIommu | DmaDirect;
  readonly owner: PciFunction;
  readonly provider: P2pdmaProvider;
  readonly attachment: Attachment;

  /** Memory of a BAR of which the bus address is 0xe0000000, and a device on this way to it; or another device. */
  constructor(way: Way, { dma, dev }: { dma?: DmaIommu | DmaDirect; dev?: { readonly name: string } } = {}) {
    this.dma = dma ?? this.#dmaFor(way);
    const host = new HostBridge({ vendor: 'amd', family: 0x17 });
    const acs = way === 'bus' ? 0 : PCI_ACS_RR;
    const port = new PciFunction({ name: 'port', parent: host, type: 'root port', acs });
    const below = (config: Omit<PciConfig, 'parent'>) => new PciFunction({ parent: port, ...config });
    this.owner = below({ name: 'owner', bars: new Map([[0, BAR]]) });
    this.provider = this.#rig.within(() => {
      pcimP2pdmaInit(this.owner);
      return pcimP2pdmaProvider(this.owner, 0) as P2pdmaProvider;
    });
    const dmabuf = this.#rig.within(() => dmaBufExport('buffer', 0x1000, OPS, undefined)) as DmaBuf;
    const device = dev ?? below({ name: 'nic', dma: this.dma });
    this.attachment = new Attachment(dmabuf, device, undefined, undefined);
  }

  get kernel(): Kernel {
    return this.#rig.kernel;
  }

  /** Kernel code with the reservation lock. */
  locked<T>(work: () => T): T {
    return this.#rig.holding(this.attachment.dmabuf.resv, work);
  }

  map(ranges: readonly PhysVec[], dir: DmaDirection = 'bidirectional'): SgTable | Errno {
    return this.locked(() => this.mapLocked(ranges, dir));
  }

  mapLocked(ranges: readonly PhysVec[], dir: DmaDirection = 'bidirectional'): SgTable | Errno {
    const size = ranges.reduce((sum, { len }) => sum + len, 0);
    return physVecToSgt(this.attachment, this.provider, ranges, size, dir);
  }

  unmap(table: SgTable): void {
    this.locked(() => freeSgt(table));
  }

  /** All that the DMA API knows of the device. */
  get state(): unknown {
    const iovas = this.dma instanceof DmaIommu ? this.dma.iovas.taken : [];
    return structuredClone([this.dma.live.lines, iovas, this.domain.stretches]);
  }

  #dmaFor(way: Way): DmaIommu | DmaDirect {
    if (way === 'bus' || way === 'ranges') return new DmaDirect();
    const config = { domain: this.domain, aperture: APERTURE };
    return way === 'window' ? new DmaIommu(config) : new NoWindows(config);
  }
}
