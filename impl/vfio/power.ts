/** Power: the states of the PM control register, and the low power that a user enters and leaves by ioctl. */
import type { Errno } from '../kernel/errno.ts';
import type { Eventfd } from '../kernel/eventfd.ts';
import { assertHeldWrite } from '../kernel/rwsem.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import { PCI_D0, PCI_D3COLD, PCI_D3HOT, type PowerState, type VfioPciDevice } from './pci-device.ts';
import { restoreIfEnabled } from './pci-dmabuf-revoke.ts';
import { takeBack } from './take-back.ts';

/**
 * `vfio_pci_set_power_state()`
 * Locks: caller holds memory_lock for writing
 * Fails: EBUSY while virtual functions are enabled, which need this one; EIO for a state that the function has not, and
 *        for one that has been removed: where it was in another state, it then counts as without power
 */
export function setPowerState(device: VfioPciDevice, state: PowerState): Errno | undefined {
  assertHeldWrite(device.memoryLock);
  if (state > PCI_D0 && device.sriovActive) return 'EBUSY';
  if (!device.powerStates.includes(state)) return 'EIO';
  if (device.environment.removed && device.power !== state) {
    device.power = PCI_D3COLD;
    return 'EIO';
  }
  device.power = state;
  return undefined;
}

/**
 * `vfio_lock_and_set_power_state()`: D3hot revokes even when the state is then refused; D1 and D2 never do.
 * Locks: takes memory_lock for writing
 */
export function* lockAndSetPowerState(device: VfioPciDevice, state: PowerState): Thread {
  yield device.memoryLock.write;
  try {
    if (state >= PCI_D3HOT) {
      yield* takeBack(device);
    }
    setPowerState(device, state);
    yield* restoreIfEnabled(device);
  } finally {
    device.memoryLock.releaseWrite();
  }
}

/**
 * `vfio_pci_runtime_pm_entry()`: low power, at the next moment in which nobody uses the device. Revokes before it asks
 * whether it may. With an eventfd, the first resume ends it and is told by that.
 * Locks: takes memory_lock for writing
 * Fails: EINVAL when low power was entered before
 */
export function* lowPowerEntry(device: VfioPciDevice, wakeup?: Eventfd): Thread<Errno | undefined> {
  yield device.memoryLock.write;
  try {
    yield* takeBack(device);
    if (device.engaged) return 'EINVAL';
    device.engaged = true;
    wakeup?.get();
    device.wakeEventfd = wakeup;
    device.pmUsage--;
  } finally {
    device.memoryLock.releaseWrite();
  }
  return undefined;
}

/**
 * `vfio_pci_runtime_pm_exit()`: end low power, if it was entered, and give the buffers back.
 * Locks: takes memory_lock for writing
 */
export function* lowPowerExit(device: VfioPciDevice): Thread<undefined> {
  yield device.memoryLock.write;
  try {
    disengage(device);
    yield* restoreIfEnabled(device);
  } finally {
    device.memoryLock.releaseWrite();
  }
  return undefined;
}

/** `__vfio_pci_runtime_pm_exit()`. Locks: caller holds memory_lock for writing */
function disengage(device: VfioPciDevice): void {
  assertHeldWrite(device.memoryLock);
  if (!device.engaged) return;
  device.engaged = false;
  device.wakeEventfd?.put();
  device.wakeEventfd = undefined;
  device.pmUsage++;
}

/**
 * `pm_runtime_resume_and_get()`: the device is awake until the matching put. Waking it gives no buffers back, even
 * where it ends low power; only the exit does.
 * Locks: takes memory_lock for writing, if the device sleeps
 * Fails: EIO when it does not wake up
 */
export function* runtimeGet(device: VfioPciDevice): Thread<Errno | undefined> {
  if (device.pmUsage === 0) {
    if (device.environment.removed || shouldFail('pm_runtime_resume_and_get')) return 'EIO';
    yield* runtimeResume(device);
  }
  device.pmUsage++;
  return undefined;
}

/** `pm_runtime_put()`: with the last one the device goes to sleep. Locks: takes memory_lock for writing then */
export function* runtimePut(device: VfioPciDevice): Thread {
  if (--device.pmUsage === 0) yield* runtimeSuspend(device);
}

/** `vfio_pci_core_runtime_resume()`: someone wakes the device: the user by any call, or the device itself. */
function* runtimeResume(device: VfioPciDevice): Thread {
  yield device.memoryLock.write;
  try {
    device.wakeEventfd?.signal();
    if (device.wakeEventfd !== undefined) disengage(device);
  } finally {
    device.memoryLock.releaseWrite();
  }
}

/** `vfio_pci_core_runtime_suspend()`: the PCI core wants the function in D0 before it puts it to sleep. */
function* runtimeSuspend(device: VfioPciDevice): Thread {
  yield device.memoryLock.write;
  try {
    setPowerState(device, PCI_D0);
  } finally {
    device.memoryLock.releaseWrite();
  }
}

/** The device signals a wakeup event (PME), and sleeps again if nobody keeps it awake. */
export function* wake(device: VfioPciDevice): Thread<Errno | undefined> {
  const failed = yield* runtimeGet(device);
  if (failed === undefined) yield* runtimePut(device);
  return failed;
}
