/** A step of a sequence of triggers, as calls of the implementation. */
import { detach } from '../../impl/dmabuf/attachment.ts';
import { Fence } from '../../impl/dmabuf/resv.ts';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import { touch } from '../../impl/kernel/fault.ts';
import { mmap } from '../../impl/kernel/mmap.ts';
import { munmap } from '../../impl/kernel/munmap.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import { bytes, u64, ZERO } from '../../impl/kernel/units.ts';
import * as ioctl from '../../impl/vfio/ioctl.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { wake } from '../../impl/vfio/power.ts';
import { vfioDeviceBind, vfioDeviceOpen } from '../../impl/vfio/vfio-device.ts';
import { BAR_SIZE, type Buffer, map, type TriggerScene, unmap } from './scene.ts';
import type { Answer, BufferStep, DeviceStep, Step } from './step.ts';

/** Carry out a step: what it answers. */
export function perform(scene: TriggerScene, step: Step): Answer {
  const { faults } = scene.kernel;
  if (step.fault !== undefined) faults.arm(1, step.fault);
  try {
    if ('buf' in step) return onBuffer(scene, scene.buffers[step.buf] as Buffer, step);
    return onDevice(scene, scene.devices[step.dev] as VfioPciDevice, step);
  } finally {
    faults.disarm();
  }
}

function onDevice(scene: TriggerScene, device: VfioPciDevice, step: DeviceStep): Answer {
  switch (step.do) {
    case 'open':
      return open(scene, device, step.ctx);
    case 'close':
      return close(scene, device);
    case 'export':
      return exportOne(scene, device);
    case 'touch':
      return touchBar(scene, device);
    case 'hotReset':
      return hotReset(scene, device, scene.devices[step.busy ?? -1]);
    case 'sriov':
      device.sriovActive = step.on && device.power === 0;
      return 'ok';
    case 'backdoor':
      Object.assign(device.physical, { command: 0, barsProgrammed: false });
      return 'ok';
    default:
      return scene.call(callOf(device, step)) ?? 'ok';
  }
}

type Call = Exclude<DeviceStep, { do: 'open' | 'close' | 'export' | 'touch' | 'hotReset' | 'sriov' | 'backdoor' }>;

function callOf(device: VfioPciDevice, step: Call): Thread<Errno | undefined> {
  switch (step.do) {
    case 'command':
      return ioctl.vfioConfigWrite(device, step.offset, step.count, step.value);
    case 'power':
      return ioctl.vfioConfigPower(device, step.state);
    case 'reset':
      return ioctl.vfioDeviceReset(device);
    case 'flr':
      return ioctl.vfioConfigFlr(device);
    case 'afFlr':
      return ioctl.vfioConfigAfFlr(device);
    case 'lpEnter':
      return ioctl.vfioLowPowerEntry(device, step.wakeup);
    case 'lpExit':
      return ioctl.vfioLowPowerExit(device);
    default:
      return wake(device);
  }
}

/** Open, bind, and map BAR 2; a device that cannot be bound is closed again. */
function open(scene: TriggerScene, device: VfioPciDevice, ctx: number): Answer {
  if (scene.mappings.has(device)) return 'EBUSY';
  scene.call(vfioDeviceOpen(device));
  const refused = scene.call(vfioDeviceBind(device, () => scene.contexts[ctx]?.file));
  if (refused !== undefined) {
    scene.within(() => device.file?.file.put());
    return refused;
  }
  const offset = scene.call(ioctl.vfioRegionOffset(device, 2));
  const file = device.file?.file;
  if (isErrno(offset) || file === undefined) throw new Error(`${device.name} has no BAR 2`);
  const vma = scene.call(mmap(scene.mm, file, { length: bytes(BAR_SIZE), offset, shared: true }));
  if (isErrno(vma)) throw new Error(`mmap of ${device.name} answers ${vma}`);
  scene.mappings.set(device, vma);
  return 'ok';
}

function close(scene: TriggerScene, device: VfioPciDevice): Answer {
  const vma = scene.mappings.get(device);
  if (vma === undefined) return 'EBADF';
  scene.call(munmap(scene.mm, u64(vma.startPage, 0), bytes(BAR_SIZE)));
  scene.mappings.delete(device);
  scene.within(() => device.file?.file.put());
  return 'ok';
}

function exportOne(scene: TriggerScene, device: VfioPciDevice): Answer {
  const ranges = [{ offset: ZERO, length: bytes(0x1000) }];
  const fd = scene.call(ioctl.vfioExport(device, 2, ranges, ZERO, scene.fds));
  if (isErrno(fd)) return fd;
  scene.buffers.push(scene.buffer(fd));
  return 'ok';
}

function touchBar(scene: TriggerScene, device: VfioPciDevice): Answer {
  const vma = scene.mappings.get(device);
  if (vma === undefined) return 'EBADF';
  const found = scene.call(touch(scene.mm, vma.startPage, vma.startPage));
  return found === 'SIGBUS' || found === 'SIGSEGV' ? 'SIGBUS' : 'ok';
}

function hotReset(scene: TriggerScene, device: VfioPciDevice, busy: VfioPciDevice | undefined): Answer {
  const letGo = busy && scene.holdMemory(busy);
  try {
    return scene.call(ioctl.vfioHotReset(device)) ?? 'ok';
  } finally {
    letGo?.();
  }
}

function onBuffer(scene: TriggerScene, buffer: Buffer, step: BufferStep): Answer {
  if (buffer.closed) return 'EBADF';
  const importer = buffer.importers.at(-1);
  switch (step.do) {
    case 'attach':
      return scene.call(scene.attach(buffer, buffer.importers.length % 2 === 0));
    case 'map':
      return importer === undefined ? 'EINVAL' : scene.call(map(importer));
    case 'unmap':
      if (importer !== undefined) scene.call(unmap(importer));
      return 'ok';
    case 'fence':
      scene.call(addFence(buffer, step.usage));
      return 'ok';
    case 'signal':
      for (const fence of buffer.fences) fence.signal();
      return 'ok';
    case 'closeFd':
      closeBuffer(scene, buffer);
      return 'ok';
  }
}

let context = 0;

/** V-51: room is made before the fence is added. */
function* addFence({ priv, fences }: Buffer, usage: 0 | 1 | 2 | 3): Thread {
  const { resv } = priv.dmabuf;
  const fence = new Fence('work', context++, 1);
  yield resv;
  try {
    resv.reserveFences(1);
    resv.addFence(fence, usage);
    fences.push(fence);
  } finally {
    resv.release();
  }
}

/** The importers go first: each would hold the file. */
export function closeBuffer(scene: TriggerScene, buffer: Buffer): void {
  for (const importer of buffer.importers) {
    while (importer.tables.length > 0) scene.call(unmap(importer));
    scene.call(detach(importer.attachment));
  }
  scene.within(() => scene.fds.close(buffer.fd));
  buffer.closed = true;
}
