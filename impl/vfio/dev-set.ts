import { Mutex } from '../kernel/mutex.ts';
import type { VfioPciDevice } from './pci-device.ts';

/** `vfio_device_set`: the functions that one bus or slot reset would reset together, opened or not. */
export class DevSet {
  /** `dev_set->lock`: protects opening and closing in the set, and keeps hot resets apart. */
  readonly lock: Mutex;
  /** `device_list`, in the order of registration. Protected by lock. */
  readonly devices: VfioPciDevice[] = [];

  constructor(name: string) {
    this.lock = new Mutex(`${name}.lock`, 'dev_set.lock');
  }
}
