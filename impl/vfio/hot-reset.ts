/** PCI hot reset: all functions of a slot or bus at once, whoever has them open. */
import type { Errno } from '../kernel/errno.ts';
import type { Thread } from '../kernel/thread.ts';
import { lockMember, unlockMember } from './hot-reset-member.ts';
import { PCI_D0, type VfioPciDevice } from './pci-device.ts';
import { runtimeGet, runtimePut, setPowerState } from './power.ts';

/**
 * `vfio_pci_ioctl_pci_hot_reset()` without group descriptors: that one iommufd owns all members proves the user's
 * right.
 * Locks: takes dev_set->lock; memory_lock of each member by trylock, so it never waits for one
 * Fails: EINVAL when a member is another's; EBUSY when a memory_lock is taken; the bus's errno, after the revoke
 */
export function* hotReset(device: VfioPciDevice): Thread<Errno | undefined> {
  const { lock, devices } = device.devSet;
  yield lock;
  try {
    return yield* devSetHotReset(device, devices);
  } finally {
    lock.release();
  }
}

/** `vfio_pci_dev_set_hot_reset()`. Locks: caller holds dev_set->lock */
const devSetHotReset = (device: VfioPciDevice, members: readonly VfioPciDevice[]): Thread<Errno | undefined> =>
  withAllAwake(members, () => revokeAndReset(device, members));

/**
 * `vfio_pci_dev_set_try_reset()`: when nobody has a function of the set open any more, the bus reset that one of them
 * needs, because it was closed without a reset. There are no buffers to revoke.
 * Locks: caller holds dev_set->lock
 */
export function* devSetTryReset(closed: VfioPciDevice): Thread {
  const { devices } = closed.devSet;
  if (!devices.some(({ needsReset }) => needsReset) || devices.some(({ openCount }) => openCount > 0)) return;
  const failed = yield* withAllAwake(devices, () => pciResetBus(closed));
  if (failed === undefined) for (const device of devices) device.needsReset = false;
}

/** `vfio_pci_dev_set_pm_runtime_get()`, the call, and the puts. Fails: EIO when a member does not wake up */
function* withAllAwake(
  members: readonly VfioPciDevice[],
  call: () => Thread<Errno | undefined>,
): Thread<Errno | undefined> {
  let failed: Errno | undefined;
  let awake = 0;
  while (failed === undefined && awake < members.length) {
    failed = yield* runtimeGet(members[awake] as VfioPciDevice);
    if (failed === undefined) awake++;
  }
  failed ??= yield* call();
  while (awake > 0) yield* runtimePut(members[--awake] as VfioPciDevice);
  return failed;
}

/** Lock and revoke one member after the other; reset all, if all could be had; undo in the opposite order. */
function* revokeAndReset(device: VfioPciDevice, members: readonly VfioPciDevice[]): Thread<Errno | undefined> {
  const owner = device.iommufdDevice?.ctx;
  let failed: Errno | undefined;
  let locked = 0;
  while (failed === undefined && locked < members.length) {
    failed = yield* lockMember(members[locked] as VfioPciDevice, owner);
    if (failed === undefined) locked++;
  }
  if (failed === undefined) {
    for (const member of members) setPowerState(member, PCI_D0);
    failed = yield* pciResetBus(device);
    for (const member of members) member.resetDone?.();
  }
  while (locked > 0) yield* unlockMember(members[--locked] as VfioPciDevice);
  return failed;
}

/**
 * `pci_reset_bus()`: by the function, all of its bus or slot.
 * Fails: EAGAIN when somebody else is at one of them; ENOTTY when the link, or one of them, does not come up again
 */
function* pciResetBus({ hotResetErr, devSet }: VfioPciDevice): Thread<Errno | undefined> {
  const around = devSet.devices.map(({ environment }) => environment);
  if (around.some(({ lockedElsewhere }) => lockedElsewhere)) return 'EAGAIN';
  return around.some(({ removed }) => removed) ? 'ENOTTY' : hotResetErr;
}
