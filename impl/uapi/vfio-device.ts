/**
 * ioctl(2) on a VFIO device. Of what vfio-pci knows, the calls that reach its buffers or its DMA; any other number is
 * ENOTTY.
 *
 * Source: iommufd 2.19, 7.3; vfio-dmabuf 2.10
 */
import { type Errno, isErrno } from '../kernel/errno.ts';
import type { Thread } from '../kernel/thread.ts';
import type { UserAddr } from '../kernel/units.ts';
import { withAccess } from '../vfio/access.ts';
import { hotReset } from '../vfio/hot-reset.ts';
import { resetFunction } from '../vfio/reset.ts';
import { attachPt, detachPt, type VfioDeviceFile, vfioDeviceBind } from '../vfio/vfio-device.ts';
import type { Caller } from './caller.ts';
import { after, copyStruct, decode, encode, type Fields, type Layout, sizeOf, type Values } from './layout.ts';
import { featureIoctl } from './vfio-feature.ts';
import {
  ATTACH_IOMMUFD_PT,
  BIND_IOMMUFD,
  DETACH_IOMMUFD_PT,
  PASID_FLAG,
  PCI_HOT_RESET,
  TOKEN_BYTES,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_FLAG_TOKEN,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_PCI_HOT_RESET,
  VFIO_DEVICE_RESET,
} from './vfio-structs.ts';

/** All but BIND need access, and keep the device awake. Fails: EINVAL before it is bound, EIO, ENOTTY */
export function* vfioDeviceIoctl(
  caller: Caller,
  df: VfioDeviceFile,
  number: number,
  argument: UserAddr,
): Thread<number | Errno> {
  if (number === VFIO_DEVICE_BIND_IOMMUFD) return (yield* bind(caller, df, argument)) ?? 0;
  return yield* withAccess(df.device, () => onDevice(caller, df, number, argument));
}

function* onDevice(caller: Caller, df: VfioDeviceFile, number: number, argument: UserAddr): Thread<number | Errno> {
  switch (number) {
    case VFIO_DEVICE_ATTACH_IOMMUFD_PT:
      return (yield* attach(caller, df, argument)) ?? 0;
    case VFIO_DEVICE_DETACH_IOMMUFD_PT:
      return (yield* detach(caller, df, argument)) ?? 0;
    case VFIO_DEVICE_FEATURE:
      return yield* featureIoctl(caller, df.device, argument);
    case VFIO_DEVICE_RESET:
      return (yield* resetFunction(df.device)) ?? 0;
    case VFIO_DEVICE_PCI_HOT_RESET:
      return (yield* pciHotReset(caller, df, argument)) ?? 0;
    default:
      return 'ENOTTY';
  }
}

/** `vfio_df_ioctl_bind_iommufd()`. No device here has virtual functions, so a token is always one too many. */
function* bind({ machine, memory }: Caller, df: VfioDeviceFile, argument: UserAddr): Thread<Errno | undefined> {
  const argsz = sizeOf(memory, argument);
  if (isErrno(argsz)) return argsz;
  if (argsz < BIND_IOMMUFD.min) return 'EINVAL';
  const bytes = copyStruct(memory, argument, BIND_IOMMUFD.size, argsz);
  if (isErrno(bytes)) return bytes;
  const { flags, iommufd, token_uuid_ptr } = decode(BIND_IOMMUFD, bytes);
  if (iommufd < 0 || (flags & ~VFIO_DEVICE_BIND_FLAG_TOKEN) !== 0 || df.accessGranted) return 'EINVAL';
  if (flags !== 0) return memory.read(token_uuid_ptr, TOKEN_BYTES) === 'EFAULT' ? 'EFAULT' : 'EINVAL';
  return yield* vfioDeviceBind(
    df.device,
    () => machine.fds.lookup(iommufd),
    (id) => {
      const { offset, width } = BIND_IOMMUFD.fields.out_devid;
      encode(BIND_IOMMUFD, { out_devid: id }, bytes);
      return memory.write(after(argument, offset), bytes.subarray(offset, offset + width));
    },
  );
}

/**
 * `vfio_copy_user_data()`: the least, and what a known flag says is there, too.
 * Fails: EFAULT, EINVAL; EOPNOTSUPP for a PASID, which no device here has
 */
function readPt<F extends Fields & { argsz: Fields[string]; flags: Fields[string] }>(
  { memory }: Caller,
  layout: Layout<F>,
  from: UserAddr,
): Values<F> | Errno {
  const least = memory.read(from, layout.min);
  if (isErrno(least)) return least;
  const whole = new Uint8Array(layout.size);
  whole.set(least);
  const args = decode(layout, whole);
  const flags = args.flags as number;
  if ((args.argsz as number) < layout.min || (flags & ~PASID_FLAG) !== 0) return 'EINVAL';
  if (flags === 0) return args;
  if ((args.argsz as number) < layout.size) return 'EINVAL';
  return memory.read(from, layout.size) === 'EFAULT' ? 'EFAULT' : 'EOPNOTSUPP';
}

/** `vfio_df_ioctl_attach_pt()` */
function* attach(caller: Caller, df: VfioDeviceFile, argument: UserAddr): Thread<Errno | undefined> {
  const args = readPt(caller, ATTACH_IOMMUFD_PT, argument);
  if (isErrno(args)) return args;
  return yield* attachPt(df.device, args.pt_id, (id) => {
    const { offset, width } = ATTACH_IOMMUFD_PT.fields.pt_id;
    const bytes = new Uint8Array(ATTACH_IOMMUFD_PT.size);
    encode(ATTACH_IOMMUFD_PT, { pt_id: id }, bytes);
    return caller.memory.write(after(argument, offset), bytes.subarray(offset, offset + width));
  });
}

/** `vfio_df_ioctl_detach_pt()` */
function* detach(caller: Caller, df: VfioDeviceFile, argument: UserAddr): Thread<Errno | undefined> {
  const args = readPt(caller, DETACH_IOMMUFD_PT, argument);
  return isErrno(args) ? args : yield* detachPt(df.device);
}

/** `vfio_pci_ioctl_pci_hot_reset()`: who has opened the device by itself, without a group, names no groups. */
function* pciHotReset({ memory }: Caller, df: VfioDeviceFile, argument: UserAddr): Thread<Errno | undefined> {
  const bytes = memory.read(argument, PCI_HOT_RESET.size);
  if (isErrno(bytes)) return bytes;
  const { argsz, flags, count } = decode(PCI_HOT_RESET, bytes);
  if (argsz < PCI_HOT_RESET.min || flags !== 0 || count !== 0) return 'EINVAL';
  return yield* hotReset(df.device);
}
