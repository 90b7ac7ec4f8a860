/** Surprise removal: a function is pulled out while somebody uses it. */
import type { Thread } from '../kernel/thread.ts';
import type { VfioPciDevice } from './pci-device.ts';
import { unregisterGroupDev } from './registration.ts';

/**
 * The function is gone, and with it what answered in its memory; then its driver is to go, too, which it can when the
 * last user has closed the device. Nothing is revoked by that: no row of the trigger table is about it, so buffers stay
 * what they are, and translations lead to where nobody answers. What the user does to the device still revokes, and
 * gives back as far as configuration space is believed, which is virtual. The last close takes back the rest.
 *
 * Derived: the documents have the duties of a close (vfio-dmabuf 1.6), of a driver that goes (1.3), and what a state
 * that cannot be reached means (2.6, 2.8), but no text on removal.
 * Locks: takes dev_set->lock; waits with none held
 */
export function* surpriseRemoval(device: VfioPciDevice): Thread {
  device.environment.removed = true;
  yield* unregisterGroupDev(device);
}
