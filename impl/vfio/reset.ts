/** Resets of one function. */
import type { Errno } from '../kernel/errno.ts';
import { current, shouldFail, type Thread } from '../kernel/thread.ts';
import { zapBars } from './bar-mapping.ts';
import { PCI_D0, PCI_D3COLD, type VfioPciDevice } from './pci-device.ts';
import { restoreIfEnabled, vfioPciDmaBufMove } from './pci-dmabuf-revoke.ts';
import { setPowerState } from './power.ts';
import { zapLeft } from './take-back.ts';

/**
 * `pci_try_reset_function()`: leaves the function in D0, wherever it was.
 * Locks: caller holds memory_lock for writing, or is just opening the device
 * Fails: EAGAIN when somebody else is at the device, and then nothing was done; ENOTTY when it does not answer again
 */
export function tryResetFunction(device: VfioPciDevice): Errno | undefined {
  const { lockedElsewhere, removed } = device.environment;
  if (lockedElsewhere || shouldFail('pci_dev_trylock')) return 'EAGAIN';
  if (removed) {
    if (device.power !== PCI_D0) device.power = PCI_D3COLD;
    return 'ENOTTY';
  }
  device.power = PCI_D0;
  device.resetDone?.();
  return undefined;
}

/**
 * `vfio_pci_ioctl_reset()`: VFIO_DEVICE_RESET. The buffers come back even if the reset failed, but not with memory off.
 * Locks: takes memory_lock for writing
 * Fails: EINVAL for a function that cannot be reset, which then notices nothing; EAGAIN, ENOTTY
 */
export function* resetFunction(device: VfioPciDevice): Thread<Errno | undefined> {
  if (!device.resetWorks) return 'EINVAL';
  yield device.memoryLock.write;
  try {
    const { buffersFirst } = current().kernel.features;
    if (!buffersFirst) yield* zapBars(device);
    // Before the revoke, because an importer may touch the function while it cleans up.
    setPowerState(device, PCI_D0);
    yield* vfioPciDmaBufMove(device, true);
    if (buffersFirst) yield* zapLeft(device);
    const failed = tryResetFunction(device);
    yield* restoreIfEnabled(device);
    return failed;
  } finally {
    device.memoryLock.releaseWrite();
  }
}
