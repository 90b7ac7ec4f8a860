/**
 * VFIO_DEVICE_FEATURE: one number for many calls, each a feature that is got, set, or only asked for.
 *
 * Source: vfio-dmabuf 2.1, 2.2, 10.2
 */
import { type Errno, isErrno } from '../kernel/errno.ts';
import { eventfdOf } from '../kernel/eventfd.ts';
import { current, type Thread } from '../kernel/thread.ts';
import { bytes, type UserAddr } from '../kernel/units.ts';
import type { VfioPciDevice } from '../vfio/pci-device.ts';
import { exportDmaBuf, exportRefused } from '../vfio/pci-dmabuf.ts';
import { revokeForGood, setMemAttr } from '../vfio/pci-dmabuf-feature.ts';
import { lowPowerEntry, lowPowerExit } from '../vfio/power.ts';
import type { Caller } from './caller.ts';
import { after, decode } from './layout.ts';
import {
  DEVICE_FEATURE,
  FEATURE_DATA_DMA_BUF,
  FEATURE_DATA_DMA_BUF_MEMATTR,
  FEATURE_DATA_DMA_BUF_REVOKE,
  FEATURE_DATA_WAKEUP,
  FEATURE_DMA_BUF,
  FEATURE_DMA_BUF_MEMATTR,
  FEATURE_DMA_BUF_REVOKE,
  FEATURE_GET,
  FEATURE_LOW_POWER_ENTRY,
  FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  FEATURE_LOW_POWER_EXIT,
  FEATURE_MASK,
  FEATURE_PROBE,
  FEATURE_SET,
  REGION_DMA_RANGE,
} from './vfio-structs.ts';

/** What one allocation of the kernel's may have at the most, in bytes. */
const KMALLOC_MAX_SIZE = 2 ** 22;

/** `vfio_ioctl_device_feature()`. Fails: EFAULT, EINVAL, ENOTTY; then as the feature does */
export function* featureIoctl(caller: Caller, device: VfioPciDevice, argument: UserAddr): Thread<number | Errno> {
  const header = caller.memory.read(argument, DEVICE_FEATURE.size);
  if (isErrno(header)) return header;
  const { argsz, flags } = decode(DEVICE_FEATURE, header);
  if (argsz < DEVICE_FEATURE.min || (flags & ~(FEATURE_MASK | FEATURE_GET | FEATURE_SET | FEATURE_PROBE)) !== 0) {
    return 'EINVAL';
  }
  const both = (flags & FEATURE_GET) !== 0 && (flags & FEATURE_SET) !== 0;
  if (both && (flags & FEATURE_PROBE) === 0) return 'EINVAL';
  const payload = argsz - DEVICE_FEATURE.size;
  const data = after(argument, DEVICE_FEATURE.size);
  switch (flags & FEATURE_MASK) {
    case FEATURE_DMA_BUF:
      if (!device.exportsDmabufs) return 'EOPNOTSUPP';
      return (
        check(flags, FEATURE_GET, payload, FEATURE_DATA_DMA_BUF.min) ?? (yield* exportBuffer(caller, device, data))
      );
    case FEATURE_DMA_BUF_REVOKE:
    case FEATURE_DMA_BUF_MEMATTR:
      return yield* bufferFeature(caller, device, flags, payload, data);
    case FEATURE_LOW_POWER_ENTRY:
      return check(flags, FEATURE_SET, payload, 0) ?? (yield* lowPowerEntry(device)) ?? 0;
    case FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
      return (
        check(flags, FEATURE_SET, payload, FEATURE_DATA_WAKEUP.min) ??
        (yield* entryWithWakeup(caller, device, data)) ??
        0
      );
    case FEATURE_LOW_POWER_EXIT:
      return check(flags, FEATURE_SET, payload, 0) ?? (yield* lowPowerExit(device)) ?? 0;
    default:
      return 'ENOTTY';
  }
}

/** `vfio_check_feature()`: 0 for a probe that is answered, undefined to go on. Fails: EINVAL */
function check(flags: number, supported: number, payload: number, least: number): 0 | 'EINVAL' | undefined {
  const direction = flags & (FEATURE_GET | FEATURE_SET);
  if ((direction & ~supported) !== 0) return 'EINVAL';
  if ((flags & FEATURE_PROBE) !== 0) return 0;
  return direction === 0 || payload < least ? 'EINVAL' : undefined;
}

/** `vfio_pci_core_pm_entry_with_wakeup()`. Fails: EFAULT; EINVAL, EBADF for what is no eventfd; as the entry does */
function* entryWithWakeup(
  { machine, memory }: Caller,
  device: VfioPciDevice,
  data: UserAddr,
): Thread<Errno | undefined> {
  const read = memory.read(data, FEATURE_DATA_WAKEUP.size);
  if (isErrno(read)) return read;
  const { wakeup_eventfd } = decode(FEATURE_DATA_WAKEUP, read);
  if (wakeup_eventfd < 0) return 'EINVAL';
  const file = machine.fds.lookup(wakeup_eventfd);
  if (file === undefined) return 'EBADF';
  const eventfd = eventfdOf(file);
  if (eventfd === undefined) return 'EINVAL';
  eventfd.get();
  const failed = yield* lowPowerEntry(device, eventfd);
  eventfd.put();
  return failed;
}

/** What the unmerged series does to one buffer. Fails: EOPNOTSUPP, even a probe, for a driver that exports nothing */
function* bufferFeature(
  { machine, memory }: Caller,
  device: VfioPciDevice,
  flags: number,
  payload: number,
  data: UserAddr,
): Thread<number | Errno> {
  if (!current().kernel.features.revokesForGood) return 'ENOTTY';
  if (!device.exportsDmabufs) return 'EOPNOTSUPP';
  const revoke = (flags & FEATURE_MASK) === FEATURE_DMA_BUF_REVOKE;
  const { min, size } = revoke ? FEATURE_DATA_DMA_BUF_REVOKE : FEATURE_DATA_DMA_BUF_MEMATTR;
  const checked = check(flags, FEATURE_SET, payload, min);
  if (checked !== undefined) return checked;
  const bytes = memory.read(data, size);
  if (isErrno(bytes)) return bytes;
  const { dmabuf_fd } = decode(FEATURE_DATA_DMA_BUF_REVOKE, bytes);
  if (revoke) return (yield* revokeForGood(device, dmabuf_fd, machine.fds)) ?? 0;
  const { memattr } = decode(FEATURE_DATA_DMA_BUF_MEMATTR, bytes);
  return (yield* setMemAttr(device, dmabuf_fd, memattr, machine.fds)) ?? 0;
}

/**
 * `vfio_pci_core_feature_dma_buf()`: the new buffer's descriptor. How many ranges are read says `nr_ranges`, and not
 * the size of the structure. Of `open_flags` only the access mode counts.
 */
function* exportBuffer({ machine, memory }: Caller, device: VfioPciDevice, data: UserAddr): Thread<number | Errno> {
  const fixed = memory.read(data, FEATURE_DATA_DMA_BUF.size);
  if (isErrno(fixed)) return fixed;
  const { region_index, open_flags, flags, nr_ranges } = decode(FEATURE_DATA_DMA_BUF, fixed);
  const refused = exportRefused(device, region_index, nr_ranges, bytes(flags));
  if (refused !== undefined) return refused;
  const { size } = REGION_DMA_RANGE;
  if (nr_ranges * size > KMALLOC_MAX_SIZE) return 'ENOMEM';
  const array = memory.read(after(data, fixed.length), nr_ranges * size);
  if (isErrno(array)) return array;
  const ranges = Array.from({ length: nr_ranges }, (_, i) => decode(REGION_DMA_RANGE, array.subarray(i * size)));
  return yield* exportDmaBuf(device, region_index, ranges, bytes(flags), machine.fds, open_flags);
}
