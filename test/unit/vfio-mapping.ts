/** What tests of CPU mappings of BARs share: mmap by hand, a touch, and what the CPU reaches without a fault. */
import type { DmaBuf } from '../../impl/dmabuf/dma-buf.ts';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import { touch } from '../../impl/kernel/fault.ts';
import { Mm, Ram } from '../../impl/kernel/mm.ts';
import { mmap } from '../../impl/kernel/mmap.ts';
import { munmap } from '../../impl/kernel/munmap.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import { add, fromBigint, u64 } from '../../impl/kernel/units.ts';
import type { Vma } from '../../impl/kernel/vma.ts';
import { vfioRegionOffset } from '../../impl/vfio/ioctl.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import type { Rig } from './vfio-rig.ts';

export interface How {
  readonly region?: number;
  readonly offset?: bigint;
  readonly length?: bigint;
  readonly shared?: boolean;
  readonly write?: boolean;
}

/** A process of its own. */
export const process = (): Mm => new Mm(new Ram(2 ** 32, 2 ** 37));

/** Map one page of BAR 2, unless told otherwise. */
export function* mapBar(device: VfioPciDevice, mm: Mm, how: How = {}): Thread<Vma | Errno> {
  const { region = 2, offset = 0n, length = 0x1000n, shared = true } = how;
  const start = yield* vfioRegionOffset(device, region);
  if (isErrno(start)) return start;
  if (device.file === undefined) throw new Error(`${device.name} is not open`);
  const args = { length: fromBigint(length), offset: add(start, fromBigint(offset)), shared };
  return yield* mmap(mm, device.file.file, args);
}

/** Map one page of a buffer by its descriptor, unless told otherwise. */
export function mapBuffer({ file }: DmaBuf, mm: Mm, how: Omit<How, 'region'> = {}): Thread<Vma | Errno> {
  const { offset = 0n, length = 0x1000n, shared = true, write = true } = how;
  return mmap(mm, file, { length: fromBigint(length), offset: fromBigint(offset), shared, write });
}

/** A mapping of a device, in a process. */
export class Mapping {
  readonly rig: Rig;
  readonly device: VfioPciDevice;
  readonly vma: Vma;

  /** Of a BAR; or of a buffer of the device. */
  constructor(rig: Rig, device: VfioPciDevice, how: How = {}, mm: Mm = process(), dmabuf?: DmaBuf) {
    const vma = rig.call(dmabuf === undefined ? mapBar(device, mm, how) : mapBuffer(dmabuf, mm, how));
    if (isErrno(vma)) throw new Error(`mmap answers ${vma}`);
    this.rig = rig;
    this.device = device;
    this.vma = vma;
  }

  /** What the CPU finds in page number `page` of the mapping: an address, or a signal. */
  touch(page = 0): string {
    const { mm, startPage } = this.vma;
    const found = this.rig.call(touch(mm, startPage + page, startPage + page));
    return typeof found === 'number' ? `0x${(found * 0x1000).toString(16)}` : found;
  }

  /** Leaves of the page table: the address of each, and how many pages it has. */
  get reached(): (readonly [phys: number, pages: number])[] {
    const { mm, startPage, lastPage } = this.vma;
    return mm.pageTable.leaves(startPage, lastPage).map(({ pfn, order }) => [pfn * 0x1000, 2 ** order]);
  }

  /** Tell of every zap. */
  onZap(told: () => void): void {
    const { pageTable } = this.vma.mm;
    const zap = pageTable.zap.bind(pageTable);
    pageTable.zap = (first, last) => {
      told();
      zap(first, last);
    };
  }

  munmap(): void {
    const { mm, startPage, npages } = this.vma;
    this.rig.call(munmap(mm, u64(startPage, 0), u64(npages, 0)));
  }
}
