/** The device's registration: whoever uses a device keeps its driver from going away. */
import type { Thread } from '../kernel/thread.ts';
import type { VfioPciDevice } from './pci-device.ts';

/** `vfio_device_try_get_registration()`: false when the driver is going away. */
export function tryGetRegistration(device: VfioPciDevice): boolean {
  return device.registration.getActive();
}

/** `vfio_device_put_registration()` */
export function putRegistration(device: VfioPciDevice): void {
  device.unregistered.mightComplete();
  if (device.registration.put()) device.unregistered.complete();
}

/**
 * `vfio_unregister_group_dev()`: the driver goes, when the last user of the device has gone.
 * Locks: takes dev_set->lock; waits with none held
 */
export function* unregisterGroupDev(device: VfioPciDevice): Thread {
  putRegistration(device);
  yield device.unregistered;
  const { lock, devices } = device.devSet;
  yield lock;
  try {
    devices.splice(devices.indexOf(device), 1);
  } finally {
    lock.release();
  }
}
