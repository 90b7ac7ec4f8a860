/** vfio-pci becomes the driver of a function, and leaves it again. */

import { type Errno, isErrno } from '../kernel/errno.ts';
import { free } from '../kernel/poison.ts';
import type { Thread } from '../kernel/thread.ts';
import { pcimP2pdmaInit, pcimP2pdmaRelease } from '../pci/p2pdma.ts';
import type { PciFunction } from '../pci/topology.ts';
import { type VfioPciConfig, VfioPciDevice } from './pci-device.ts';
import { unregisterGroupDev } from './registration.ts';

/** `vfio_pci_probe()`. Fails: ENOMEM */
export function* vfioPciProbe(config: VfioPciConfig): Thread<VfioPciDevice | Errno> {
  const failed = vfioPciCoreInitDev(config.pci);
  return isErrno(failed) ? failed : new VfioPciDevice(config);
}

/**
 * `vfio_pci_remove()`, and what the driver core takes back behind it: providers are of no use from now on.
 * Locks: takes dev_set->lock; waits for the last user with none held
 */
export function* vfioPciRemove(device: VfioPciDevice): Thread {
  yield* unregisterGroupDev(device);
  pcimP2pdmaRelease(device.pci);
  free(device, 'vfio_pci_core_device', device.memoryLock, device.unregistered, device.mapping);
}

/** `vfio_pci_core_init_dev()`: a function that cannot lend its memory is no worse for it; its BARs are not exported. */
function vfioPciCoreInitDev(pci: PciFunction): Errno | undefined {
  const failed = pcimP2pdmaInit(pci);
  return failed === 'EOPNOTSUPP' ? undefined : failed;
}
