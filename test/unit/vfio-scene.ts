import { isErrno } from '../../impl/kernel/errno.ts';
import { Eventfd } from '../../impl/kernel/eventfd.ts';
import type { Features } from '../../impl/kernel/features.ts';
import {
  vfioConfigFlr,
  vfioConfigMemory,
  vfioConfigPower,
  vfioConfigWrite,
  vfioDeviceReset,
  vfioHotReset,
  vfioLowPowerEntry,
  vfioLowPowerExit,
} from '../../impl/vfio/ioctl.ts';
import type { VfioPciConfig, VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { wake } from '../../impl/vfio/power.ts';
import { Mapping } from './vfio-mapping.ts';
import { type Exported, type Importer, Rig } from './vfio-rig.ts';

/** A device with one buffer and one importer, and its memory bit. */
export function setup(features?: Features) {
  const rig = new Rig(features);
  const device = rig.opened();
  const buffer = rig.exported(device);
  const importer = rig.attach(buffer);
  const off = () => rig.call(vfioConfigMemory(device, false));
  const on = () => rig.call(vfioConfigMemory(device, true));
  return { rig, device, buffer, importer, off, on, ...buffer };
}

/** A device, a buffer, an importer, a CPU mapping; and the user's calls by the names of the documented sequences. */
export class Scene {
  readonly rig: Rig;
  readonly device: VfioPciDevice;
  readonly buffer: Exported;
  readonly importer: Importer;
  readonly mapping: Mapping;
  /** Told of wakeups. */
  readonly eventfd = new Eventfd();
  /** Buffers that were exported later. */
  readonly more: Exported[] = [];
  /** What happened, in order: callbacks and zaps. */
  readonly log: string[] = [];

  constructor(config: Partial<VfioPciConfig> = {}, features?: Features) {
    this.rig = new Rig(features);
    this.device = this.rig.opened(config);
    this.buffer = this.rig.exported(this.device);
    this.importer = this.rig.attach(this.buffer);
    this.importer.onInvalidate = () => this.log.push(this.state('callback'));
    this.mapping = new Mapping(this.rig, this.device);
    this.mapping.onZap(() => this.log.push(this.state('zap')));
  }

  state(what: string): string {
    return `${what} D${this.device.power}`;
  }

  cmdMem = (enable: boolean) => this.rig.call(vfioConfigMemory(this.device, enable));
  write = (offset: number, count: number, value: number) =>
    this.rig.call(vfioConfigWrite(this.device, offset, count, value));
  pm = (state: 0 | 1 | 2 | 3) => this.rig.call(vfioConfigPower(this.device, state));
  reset = () => this.rig.call(vfioDeviceReset(this.device));
  flr = () => this.rig.call(vfioConfigFlr(this.device));
  hotReset = () => this.rig.call(vfioHotReset(this.device));
  lpEnter = (wakeup = false) => this.rig.call(vfioLowPowerEntry(this.device, wakeup));
  lpExit = () => this.rig.call(vfioLowPowerExit(this.device));
  wake = () => this.rig.call(wake(this.device));

  /** Close the device for good: nothing of it stays mapped. */
  close(): void {
    this.mapping.munmap();
    this.rig.close(this.device);
  }

  get revoked(): boolean {
    return this.buffer.priv.revoked;
  }

  /** What the next map answers; a map that succeeds is undone. */
  map(): string {
    const table = this.rig.map(this.importer);
    if (isErrno(table)) return table;
    this.rig.unmap(this.importer, table);
    return 'ok';
  }
}
