import type { Errno } from '../kernel/errno.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import type { VfioPciDevice } from './pci-device.ts';
import { runtimeGet, runtimePut } from './power.ts';

/**
 * `vfio_device_fops_unl_ioctl()`, and reads and writes likewise: what every call on a device's descriptor goes through.
 * While it runs it holds the file, and keeps the device awake. All but a reset read something of the user's.
 * Fails: EBADF without a descriptor, EINVAL for one that is not bound, EIO when the device does not wake up, EFAULT
 */
export function* withAccess<T>(device: VfioPciDevice, call: () => Thread<T>, reads = true): Thread<T | Errno> {
  const df = device.file;
  if (df === undefined || !df.file.getActive()) return 'EBADF';
  try {
    if (!df.accessGranted) return 'EINVAL';
    // Asleep is rare: spare the others two generators.
    if (device.pmUsage > 0) {
      device.pmUsage++;
    } else {
      const asleep = yield* runtimeGet(device);
      if (asleep !== undefined) return asleep;
    }
    const answer = reads && shouldFail('copy_from_user') ? 'EFAULT' : yield* call();
    if (device.pmUsage > 1) device.pmUsage--;
    else yield* runtimePut(device);
    return answer;
  } finally {
    df.file.put();
  }
}
