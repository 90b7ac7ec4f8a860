/**
 * `vfio_pci_dma_buf`: slices of a BAR, exported as a dma-buf. Its owner takes it back whenever the device's memory goes
 * away (pci-dmabuf-revoke.ts), and may give it back later.
 */

import { type Attachment, isRevocable, unmappersOf, unmapsOf } from '../dmabuf/attachment.ts';
import { type DmaBuf, type DmaBufOps, dmaBufExport, dmaBufFd, dmaBufPut, O_RDWR } from '../dmabuf/dma-buf.ts';
import { freeSgt, type PhysVec, physVecToSgt, type SgTable } from '../dmabuf/sg-table.ts';
import type { DmaDirection } from '../iommu/dma-api.ts';
import { Completion } from '../kernel/completion.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import type { FdTable, File } from '../kernel/file.ts';
import { Ghost } from '../kernel/ghosts.ts';
import { Kref } from '../kernel/kref.ts';
import { assertHeld } from '../kernel/mutex.ts';
import { free } from '../kernel/poison.ts';
import { current, preempt, shouldFail, type Thread } from '../kernel/thread.ts';
import { isZero, PAGE_SIZE, type U64 } from '../kernel/units.ts';
import type { Vma } from '../kernel/vma.ts';
import { type P2pdmaProvider, pcimP2pdmaProvider } from '../pci/p2pdma.ts';
import type { BarResource, PciFunction } from '../pci/topology.ts';
import { REGION_PAGES, VFIO_PCI_ROM_REGION_INDEX, type VfioPciDevice } from './pci-device.ts';
import { enlist, unlist } from './pci-dmabuf-list.ts';
import { getDmabufPhys } from './pci-dmabuf-phys.ts';
import { type DmaRange, validateRanges } from './pci-dmabuf-ranges.ts';
import { refusalOf, type State, type Status } from './pci-dmabuf-status.ts';
import { type DrainToken, putToken } from './pci-dmabuf-token.ts';
import { showBuffer } from './pci-dmabuf-vma.ts';
import type { MemAttr } from './pfn-map.ts';
import { putRegistration, tryGetRegistration } from './registration.ts';

/** A longer name, with the zero behind it, is not shown. */
const DMA_BUF_NAME_LEN = 32;

export class VfioPciDmaBuf implements DrainToken {
  /** Set once, before anybody else can see the buffer. */
  dmabuf!: DmaBuf;
  readonly physVec: readonly PhysVec[];
  readonly provider: P2pdmaProvider;
  /** Absent, and for ever, once the device was closed. Written under memory_lock(W), after a revoke. */
  vdev: VfioPciDevice | undefined;
  /** Gets under dma_resv. */
  readonly kref: Kref;
  readonly comp: Completion;
  /** Whether DMA and the CPU may reach it. Written under memory_lock(W) and dma_resv, readable under either. */
  status: Status = 'TEMP_REVOKED';
  /**
   * Of a buffer that stands behind a mapping of a BAR: the file of the device, which it keeps open, and where in its
   * BAR the mapping began. Set before anybody else can see the buffer.
   */
  vfile: File | undefined;
  vmaPgoffAdjust = 0;
  /** How mappings to come treat the memory. A single word, under no lock. */
  memattr: MemAttr = 'NC';
  /** Ghost, for observers only: how often the buffer went from usable to revoked. */
  revocations = 0;

  constructor(name: string, vdev: VfioPciDevice, physVec: readonly PhysVec[], provider: P2pdmaProvider) {
    this.physVec = physVec;
    this.provider = provider;
    this.vdev = vdev;
    this.kref = new Kref(name, new Ghost(this));
    this.comp = new Completion(name, {
      owed: () => unmapsOf(this.dmabuf),
      lost: `an unmap that nobody owes of ${name}`,
      by: () => unmappersOf(this.dmabuf),
      waitClass: 'drain',
    });
  }

  get revoked(): boolean {
    return this.status !== 'OK';
  }

  get state(): State {
    return this.vdev === undefined ? 'CLOSED' : this.status;
  }

  /** DMA maps that are live, while no revoke is draining them. */
  get liveMaps(): number {
    return this.kref.count - 1;
  }
}

/** `vfio_pci_dmabuf_ops` */
export const vfioPciDmaBufOps: DmaBufOps = {
  /** `vfio_pci_dma_buf_attach()`: reads the status without a lock, so a map asks again. */
  attach(dmabuf: DmaBuf, attachment: Attachment): Errno | undefined {
    if (!attachment.peer2peer) return 'EOPNOTSUPP';
    const refused = refusalOf(privOf(dmabuf), 'import');
    if (refused !== undefined) return refused;
    // A revoke waits for every unmap, so it must be able to ask for it.
    return isRevocable(attachment) || !current().kernel.features.attachNeedsRevocable ? undefined : 'EOPNOTSUPP';
  },

  /** `vfio_pci_dma_buf_map()`: the token is taken last, so a failed map has nothing to give back. */
  mapDmaBuf(attachment: Attachment, dir: DmaDirection): SgTable | Errno {
    assertHeld(attachment.dmabuf.resv);
    const priv = privOf(attachment.dmabuf);
    const refused = refusalOf(priv, 'import');
    if (refused !== undefined) return refused;
    const table = physVecToSgt(attachment, priv.provider, priv.physVec, priv.dmabuf.size, dir);
    if (!isErrno(table)) priv.kref.get();
    return table;
  },

  /** `vfio_pci_dma_buf_unmap()`: the token goes last, because a revoke returns as soon as all are gone. */
  unmapDmaBuf(attachment: Attachment, table: SgTable): void {
    assertHeld(attachment.dmabuf.resv);
    const priv = privOf(attachment.dmabuf);
    if (!priv.revoked) priv.comp.mightComplete(); // In the callback of a revoke nobody waits yet.
    freeSgt(table);
    putToken(priv);
  },

  /** `vfio_pci_dma_buf_mmap()`: only the unmerged series has it. */
  *mmap(dmabuf: DmaBuf, vma: Vma): Thread<Errno | undefined> {
    const { features } = current().kernel;
    if (!features.mapsBuffers) return 'EINVAL';
    const priv = privOf(dmabuf);
    yield preempt; // The status is read without a lock; a touch asks again.
    const refused = features.mmapNeedsUsable ? refusalOf(priv, 'mmap') : undefined;
    if (refused !== undefined) return refused;
    if (!vma.shared) return 'EINVAL';
    yield preempt; // So is the attribute.
    showBuffer(priv, vma, priv.memattr);
    return undefined;
  },

  release: vfioPciDmaBufRelease,
};

/** The buffer of a vfio-pci device behind a dma-buf; undefined for another exporter's. */
export function vfioPciDmaBufOf(dmabuf: DmaBuf): VfioPciDmaBuf | undefined {
  return dmabuf.ops === vfioPciDmaBufOps ? privOf(dmabuf) : undefined;
}

const privOf = (dmabuf: DmaBuf): VfioPciDmaBuf => dmabuf.priv as VfioPciDmaBuf;

/**
 * `vfio_pci_core_feature_dma_buf()`: slices of one BAR become a buffer and a descriptor. Memory that is off is no
 * error: the buffer is born revoked.
 * Units:  offset, length in bytes, any 64-bit values
 * Locks:  takes memory_lock for writing, and dma_resv inside
 * Fails:  EOPNOTSUPP for a driver that exports nothing; EINVAL, ENODEV, EOVERFLOW for bad arguments; EFAULT, ENOMEM,
 *         EMFILE; nothing is left behind
 * Source: drivers/vfio/pci/vfio_pci_dmabuf.c
 */
export function* exportDmaBuf(
  device: VfioPciDevice,
  region: number,
  ranges: readonly DmaRange[],
  flags: U64,
  fds: FdTable,
  openFlags: number = O_RDWR,
): Thread<number | Errno> {
  if (!device.exportsDmabufs) return 'EOPNOTSUPP';
  const priv = createDmaBuf(device, region, ranges, flags, openFlags);
  if (isErrno(priv)) return priv;
  const { dmabuf } = priv;
  yield* enlist(device, priv);
  const fd = dmaBufFd(dmabuf, fds);
  if (isErrno(fd)) dmaBufPut(dmabuf); // Its release undoes all the rest.
  return fd;
}

/**
 * What the CPU maps of a BAR in the unmerged series: a buffer of just that slice, without a descriptor, that is revoked
 * and given back with the others. It keeps the device open in place of the mapping.
 * Locks: caller holds mmap_lock for writing; takes memory_lock for writing, and dma_resv inside
 * Fails: ENOMEM; EINVAL for a BAR without a provider; ENODEV while the driver goes away
 * Source: vfio-dmabuf 6.4
 */
export function* mapAsBuffer(device: VfioPciDevice, region: number, vma: Vma): Thread<Errno | undefined> {
  if (shouldFail('vfio_pci_core_mmap')) return 'ENOMEM';
  const provider = pcimP2pdmaProvider(device.pci, region);
  if (provider === undefined) return 'EINVAL';
  const pgoff = vma.pgoff % REGION_PAGES;
  const { phys } = device.bars.get(region) as BarResource;
  const slice = { paddr: phys + pgoff * PAGE_SIZE, len: vma.npages * PAGE_SIZE };
  const priv = newDmaBuf(device, [slice], provider, O_RDWR);
  if (isErrno(priv)) return priv;
  const { dmabuf } = priv;
  const name = `${device.name}:${addressOf(device.pci)}/${region.toString(16)}`;
  dmabuf.shownName = name.length < DMA_BUF_NAME_LEN ? name : '';
  // Two references change hands: that of the new buffer, and that of the device file which mmap has taken.
  priv.vfile = vma.file;
  priv.vmaPgoffAdjust = pgoff;
  vma.file = dmabuf.file;
  vma.mapping = dmabuf.mapping;
  yield* enlist(device, priv);
  showBuffer(priv, vma, 'NC');
  return undefined;
}

/** What can be refused of an export before its ranges are read. Fails: EINVAL, ENODEV */
export function exportRefused(
  device: VfioPciDevice,
  region: number,
  rangeCount: number,
  flags: U64,
): Errno | undefined {
  if (rangeCount === 0 || !isZero(flags)) return 'EINVAL';
  if (region >= VFIO_PCI_ROM_REGION_INDEX) return 'ENODEV';
  const claimed = device.bars.has(region) && device.barErr[region] === undefined;
  return claimed || !device.exportsClaimedOnly ? undefined : 'ENODEV';
}

/** What can be refused of an export, in the documented order. The buffer is on no list yet. */
function createDmaBuf(
  device: VfioPciDevice,
  region: number,
  ranges: readonly DmaRange[],
  flags: U64,
  openFlags: number,
): VfioPciDmaBuf | Errno {
  if (shouldFail('copy_from_user')) return 'EFAULT';
  const refused = exportRefused(device, region, ranges.length, flags);
  if (refused !== undefined) return refused;
  if (shouldFail('memdup_array_user')) return 'ENOMEM';
  const invalid = validateRanges(ranges);
  if (invalid !== undefined) return invalid;
  if (shouldFail('vfio_pci_core_feature_dma_buf')) return 'ENOMEM';
  const phys = (device.getDmabufPhys ?? getDmabufPhys)(device, region, ranges);
  return isErrno(phys) ? phys : newDmaBuf(device, phys.physVec, phys.provider, openFlags);
}

/** The buffer itself, and what it holds of its device. Fails: ENODEV while the driver goes away; ENOMEM */
function newDmaBuf(
  device: VfioPciDevice,
  physVec: readonly PhysVec[],
  provider: P2pdmaProvider,
  openFlags: number,
): VfioPciDmaBuf | Errno {
  if (!tryGetRegistration(device)) return 'ENODEV';
  const name = `${device.name}.dmabuf${device.exports++}`;
  const priv = new VfioPciDmaBuf(name, device, physVec, provider);
  const dmabuf = dmaBufExport(name, sizeOf(physVec), vfioPciDmaBufOps, priv, openFlags);
  if (isErrno(dmabuf)) {
    putRegistration(device);
    return dmabuf;
  }
  priv.dmabuf = dmabuf;
  return priv;
}

/** `pci_name()` */
function addressOf({ host, bus, devfn }: PciFunction): string {
  const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, '0');
  return `${hex(host.domain, 4)}:${hex(bus, 2)}:${hex(Math.floor(devfn / 8), 2)}.${devfn % 8}`;
}

function sizeOf(physVec: readonly PhysVec[]): number {
  let size = 0;
  for (const { len } of physVec) size += len;
  return size;
}

/**
 * `vfio_pci_dma_buf_release()`: the last file reference is gone. Nobody else writes `vdev` then: close-time cleanup
 * passes over a buffer without file references. The device file that a mapping of a BAR held goes last, and may close
 * the device once this has returned.
 * Locks: takes memory_lock for writing, unless the device was closed before
 */
function* vfioPciDmaBufRelease(dmabuf: DmaBuf): Thread {
  const priv = privOf(dmabuf);
  const device = priv.vdev;
  if (device !== undefined) {
    yield device.memoryLock.write;
    try {
      unlist(device, priv);
    } finally {
      device.memoryLock.releaseWrite();
    }
    putRegistration(device);
  }
  priv.vfile?.put();
  free(priv, 'vfio_pci_dma_buf', priv.comp);
}

/**
 * `vfio_pci_dma_buf_iommufd_map()`: tells iommufd the one physical range of the buffer, which is valid until the
 * importer's callback ran. Takes no reference of any kind.
 * Locks: caller holds dma_resv
 * Fails: EOPNOTSUPP for another exporter's buffer; ENODEV while revoked; EOPNOTSUPP for more than one range
 */
export function vfioPciDmaBufIommufdMap({ dmabuf }: Attachment): PhysVec | Errno {
  assertHeld(dmabuf.resv);
  const priv = vfioPciDmaBufOf(dmabuf);
  if (priv === undefined) return 'EOPNOTSUPP';
  const refused = refusalOf(priv, 'import');
  if (refused !== undefined) return refused;
  return priv.physVec.length === 1 ? (priv.physVec[0] as PhysVec) : 'EOPNOTSUPP';
}
