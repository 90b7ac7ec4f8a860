/** What tests of the unmerged series share: a machine that behaves like it, and mappings of its buffers. */
import type { Errno } from '../../impl/kernel/errno.ts';
import { touch } from '../../impl/kernel/fault.ts';
import { type Features, featuresOf } from '../../impl/kernel/features.ts';
import type { Mm } from '../../impl/kernel/mm.ts';
import { vfioConfigMemory, vfioRevokeForGood, vfioSetMemAttr } from '../../impl/vfio/ioctl.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { type How, Mapping, process } from './vfio-mapping.ts';
import { BAR_SIZE, BAR_START, type DeviceConfig, type Exported, Rig } from './vfio-rig.ts';

export const V4 = featuresOf('v4') as Features;
export const V4_LITERAL = featuresOf('v4-literal') as Features;

/** A second BAR behind the first, and what the CPU finds at its start and at that of the first. */
export const BAR4 = BAR_START + BAR_SIZE;
export const START = '0x4000000000';
export const START4 = '0x4001000000';

const bars = new Map([
  [0, { size: 0x10000, phys: 0x3f_0000_0000 }],
  [2, { size: BAR_SIZE, phys: BAR_START }],
  [4, { size: BAR_SIZE, phys: BAR4 }],
]);

/** An open device with three BARs, and the calls of the documented sequences. */
export class V4Rig extends Rig {
  readonly dev: VfioPciDevice;

  constructor(features = V4, config: DeviceConfig = {}) {
    super(features);
    this.dev = this.opened({ bars, ...config });
  }

  mapBar = (how: How = {}, mm: Mm = process()): Mapping => new Mapping(this, this.dev, how, mm);
  mapBuf = ({ dmabuf }: Exported, how: How = {}, mm: Mm = process()): Mapping =>
    new Mapping(this, this.dev, how, mm, dmabuf);
  /** What a process finds in one of its pages: an address, or a signal. */
  touchIn(mm: Mm, page: number): string {
    const found = this.call(touch(mm, page, page));
    return typeof found === 'number' ? `0x${(found * 0x1000).toString(16)}` : found;
  }

  cmdMem = (enable: boolean): Errno | undefined => this.call(vfioConfigMemory(this.dev, enable));
  revokePerm = ({ fd }: { readonly fd: number }, device = this.dev): Errno | undefined =>
    this.call(vfioRevokeForGood(device, fd, this.fds));
  memattr = ({ fd }: Exported, attr: number): Errno | undefined =>
    this.call(vfioSetMemAttr(this.dev, fd, attr, this.fds));
}
