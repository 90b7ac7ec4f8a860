/** System calls on the descriptor of a VFIO device. */
import type { Result } from '../trace/answer.ts';
import type { Command, Handle } from '../trace/command.ts';
import type { VfioDmabufMemattr, VfioDmabufRevoke, VfioExport, VfioWake } from '../trace/command-vfio.ts';
import { answerOf, DONE, fdOf, fileOf, installAs, objectIdIn, openedDevice } from './handles.ts';
import { type Errno, isErrno } from './kernel/errno.ts';
import { unreachable } from './kernel/splat.ts';
import { shouldFail, type Thread } from './kernel/thread.ts';
import { fromBigint } from './kernel/units.ts';
import type { Machine } from './machine.ts';
import { withAccess } from './vfio/access.ts';
import {
  vfioConfigFlr,
  vfioConfigMemory,
  vfioConfigPower,
  vfioDeviceReset,
  vfioExport,
  vfioHotReset,
  vfioLowPowerEntry,
  vfioLowPowerExit,
  vfioRevokeForGood,
  vfioSetMemAttr,
} from './vfio/ioctl.ts';
import type { VfioPciDevice } from './vfio/pci-device.ts';
import { wake } from './vfio/power.ts';
import {
  type Tell,
  type VfioDeviceFile,
  vfioDeviceAttach,
  vfioDeviceBind,
  vfioDeviceDetach,
  vfioDeviceOpen,
} from './vfio/vfio-device.ts';

/**
 * open(2) of the device. A name stands for one descriptor, so one that is open already, also since the call began, is
 * EBUSY: a rule of traces.
 */
export function* openDevice(machine: Machine, handle: Handle): Thread<Result> {
  const device = machine.devices.get(handle);
  if (device === undefined) return { err: 'ENODEV' };
  if (fileOf(machine, handle, 'device') !== undefined) return { err: 'EBUSY' };
  if (shouldFail('alloc_empty_file')) return { err: 'ENOMEM' };
  const file = yield* vfioDeviceOpen(device);
  if (isErrno(file)) return { err: file };
  const other = fileOf(machine, handle, 'device');
  if (other === undefined) return installAs(machine, file, handle, 'device');
  device.file = other.what as VfioDeviceFile;
  file.put();
  return { err: 'EBUSY' };
}

export function* exportBuffer(machine: Machine, { dev, region, ranges, as, flags }: VfioExport): Thread<Result> {
  const device = openedDevice(machine, dev);
  if (isErrno(device)) return { err: device };
  const slices = ranges.map(([offset, length]) => ({ offset: fromBigint(offset), length: fromBigint(length) }));
  const fd = yield* vfioExport(device, region, slices, fromBigint(flags ?? 0n), machine.fds);
  if (isErrno(fd)) return { err: fd };
  machine.names.set(as, { kind: 'file', fd });
  return DONE;
}

/** What the user says of one buffer of a device, by its descriptor. */
export function* onBuffer(machine: Machine, command: VfioDmabufRevoke | VfioDmabufMemattr): Thread<Result> {
  const device = openedDevice(machine, command.dev);
  if (isErrno(device)) return { err: device };
  const fd = fdOf(machine, command.fd, 'file');
  if (command.do === 'vfio_dmabuf_revoke') return answerOf(yield* vfioRevokeForGood(device, fd, machine.fds));
  return answerOf(yield* vfioSetMemAttr(device, fd, command.attr, machine.fds));
}

/** The device wakes up by itself: no descriptor is needed, and one that is awake does not notice. */
export function* wakeUp(machine: Machine, { dev }: VfioWake): Thread<Result> {
  const device = machine.devices.get(dev);
  return device === undefined ? { err: 'ENODEV' } : answerOf(yield* wake(device));
}

export type DeviceCommand = Extract<
  Command,
  {
    do:
      | 'vfio_bind'
      | 'vfio_attach'
      | 'vfio_detach'
      | 'vfio_memory'
      | 'vfio_reset'
      | 'vfio_flr'
      | 'vfio_hot_reset'
      | 'vfio_power'
      | 'vfio_low_power_entry'
      | 'vfio_low_power_exit';
  }
>;

/**
 * Calls on a device's descriptor that answer nothing but success. Where a register belongs to a capability that the
 * device does not have there is nothing to write to: EINVAL, a rule of traces.
 */
export function* onDevice(machine: Machine, command: DeviceCommand): Thread<Result> {
  const device = openedDevice(machine, command.dev);
  if (isErrno(device)) return { err: device };
  return answerOf(yield* deviceCall(machine, device, command));
}

function deviceCall(machine: Machine, device: VfioPciDevice, command: DeviceCommand): Thread<Errno | undefined> {
  switch (command.do) {
    case 'vfio_memory':
      return vfioConfigMemory(device, command.enable);
    case 'vfio_reset':
      return vfioDeviceReset(device);
    case 'vfio_attach': {
      // The number is looked up in the context that the device is bound to, whether its descriptor is open or not.
      const pt = objectIdIn(machine, device.iommufdDevice?.ctx, command.pt);
      return isErrno(pt) ? refuse(pt) : vfioDeviceAttach(device, pt, tell);
    }
    case 'vfio_detach':
      return vfioDeviceDetach(device);
    case 'vfio_bind':
      if (shouldFail('copy_from_user')) return refuse('EFAULT');
      return vfioDeviceBind(device, () => fileOf(machine, command.ctx, 'iommufd'), tell);
    case 'vfio_flr':
      return device.resets.includes('flr') ? vfioConfigFlr(device) : looked(device);
    case 'vfio_hot_reset':
      return vfioHotReset(device);
    case 'vfio_power':
      return device.resets.includes('pm') ? vfioConfigPower(device, command.state) : looked(device);
    case 'vfio_low_power_entry':
      return vfioLowPowerEntry(device, command.wakeup ?? false);
    case 'vfio_low_power_exit':
      return vfioLowPowerExit(device);
    default:
      return unreachable(command);
  }
}

/** The caller always wants to know. */
const tell: Tell = () => (shouldFail('copy_to_user') ? 'EFAULT' : undefined);

/** Whoever looks for a capability in vain has read configuration space, and so the device was awake. */
const looked = (device: VfioPciDevice): Thread<Errno> => withAccess(device, () => refuse('EINVAL'));

/** A call that ends before it begins. */
function* refuse(errno: Errno): Thread<Errno> {
  return errno;
}
