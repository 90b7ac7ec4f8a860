/** What vfio-pci does to the function when its device is opened, and when it is closed. */
import type { Errno } from '../kernel/errno.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import { PCI_COMMAND_IO, PCI_COMMAND_MEMORY, PCI_D0, type VfioPciDevice } from './pci-device.ts';
import { vfioPciDmaBufCleanup } from './pci-dmabuf-revoke.ts';
import { lowPowerExit, runtimeGet, runtimePut } from './power.ts';
import { tryResetFunction } from './reset.ts';

const BARS = 6;

/**
 * `vfio_pci_core_enable()`: wake the function, reset it, set up its virtual configuration with memory on, claim its
 * BARs.
 * Locks: caller holds dev_set->lock; nobody else uses the device yet
 * Fails: EIO, EAGAIN, ENOMEM; the device is left asleep
 */
export function* coreEnable(device: VfioPciDevice): Thread<Errno | undefined> {
  const asleep = yield* runtimeGet(device);
  if (asleep !== undefined) return asleep;
  const failed = setUp(device);
  if (failed !== undefined) yield* runtimePut(device);
  return failed;
}

function setUp(device: VfioPciDevice): Errno | undefined {
  device.power = PCI_D0;
  if (tryResetFunction(device) !== undefined) return 'EAGAIN';
  device.resetWorks = device.resets.length > 0;
  if (shouldFail('vfio_config_init')) return 'ENOMEM';
  device.vconfig = { command: PCI_COMMAND_IO | PCI_COMMAND_MEMORY };
  for (let bar = 0; bar < BARS; bar++) {
    const resource = device.bars.get(bar);
    device.barErr[bar] = resource === undefined ? 'ENODEV' : resource.claimErr;
  }
  return undefined;
}

/**
 * `vfio_pci_core_close_device()`: the buffers go first, because an importer may touch the function until it has been
 * told.
 * Locks: caller holds dev_set->lock; takes memory_lock for writing
 */
export function* coreCloseDevice(device: VfioPciDevice): Thread {
  yield* vfioPciDmaBufCleanup(device);
  yield* coreDisable(device);
}

/**
 * `vfio_pci_core_disable()`: leave low power, give back the BARs, forget the virtual configuration. The function is
 * reset, too, which nobody sees: it has no buffers left, and if a sibling is open there is no bus reset.
 */
function* coreDisable(device: VfioPciDevice): Thread {
  yield* lowPowerExit(device);
  device.power = PCI_D0;
  device.vconfig = undefined;
  device.barErr.length = 0;
  yield* runtimePut(device);
}
