import { describe, expect, test, vi } from 'vitest';
import { detach } from '../../impl/dmabuf/attachment.ts';
import { USAGE } from '../../impl/dmabuf/resv.ts';
import type { Errno } from '../../impl/kernel/errno.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import { vfioConfigMemory, vfioDeviceReset } from '../../impl/vfio/ioctl.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import type { VfioPciDmaBuf } from '../../impl/vfio/pci-dmabuf.ts';
import { unlist } from '../../impl/vfio/pci-dmabuf-list.ts';
import { vfioPciDmaBufMove } from '../../impl/vfio/pci-dmabuf-revoke.ts';
import { vfioDeviceBind, vfioDeviceOpen } from '../../impl/vfio/vfio-device.ts';
import type { Rig } from './vfio-rig.ts';
import { setup } from './vfio-scene.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

function* unlistLocked(device: VfioPciDevice, priv: VfioPciDmaBuf): Thread {
  yield device.memoryLock.write;
  try {
    unlist(device, priv);
  } finally {
    device.memoryLock.releaseWrite();
  }
}

function* closeFd({ fds }: Rig, fd: number): Thread<Errno | undefined> {
  return fds.close(fd);
}

function* closeDevice({ file }: VfioPciDevice): Thread {
  file?.file.put();
}

describe('move', () => {
  test('without memory_lock is a splat', () => {
    const { rig, device } = setup();
    expect(() => rig.call(vfioPciDmaBufMove(device, true))).toThrow('held for writing');
  });

  test('counts a revocation only when the buffer was usable', () => {
    const { priv, off, on } = setup();
    off();
    off();
    on();
    off();
    expect(priv.revocations).toBe(2);
  });

  test('passes over a buffer whose last reference is gone, whose own release takes it off the list', () => {
    const { rig, device, fd, priv, importer } = setup();
    rig.call(detach(importer.attachment));
    const closer = rig.actor('close', closeFd(rig, fd));
    closer.runTo('memory_lock(W)');
    rig.call(vfioConfigMemory(device, false));
    expect([priv.revoked, priv.revocations, device.dmabufs.length]).toEqual([false, 0, 1]);
    expect(closer.run()).toBe(true);
    expect(device.dmabufs).toEqual([]);
    expect(device.registration.count).toBe(2);
  });

  test('that drops the last reference leaves the release to the end of its own system call', () => {
    const { rig, device, fd, priv, importer } = setup();
    rig.call(detach(importer.attachment));
    const fence = rig.fence({ fd, priv, dmabuf: priv.dmabuf }, USAGE.READ);
    const reset = rig.actor('reset', vfioDeviceReset(device));
    expect(reset.run()).toBe(false);
    rig.closeFd(fd);
    expect(device.dmabufs).toEqual([priv]);
    fence.signal();
    expect(reset.run()).toBe(true);
    expect(device.dmabufs).toEqual([]);
    expect(device.registration.count).toBe(2);
  });

  test('taking a buffer off a list that it is not on is a splat', () => {
    const { rig, device, fd, priv, importer } = setup();
    rig.call(detach(importer.attachment));
    rig.closeFd(fd);
    expect(() => rig.call(unlistLocked(device, priv))).toThrow('is not on the list of dev0');
  });
});

describe('closing the device', () => {
  test('revokes for good: the buffer forgets its device, and a second open does not revive it', () => {
    const { rig, device, importer, priv } = setup();
    rig.close(device);
    expect([priv.vdev, priv.revoked, priv.revocations]).toEqual([undefined, true, 1]);
    expect(device.registration.count).toBe(1);
    rig.call(vfioDeviceOpen(device));
    rig.call(vfioDeviceBind(device, () => rig.ctx));
    expect(device.dmabufs).toEqual([]);
    expect(rig.map(importer)).toBe('ENODEV');
    expect(priv.revoked).toBe(true);
  });

  test('then closing the descriptor does not touch the device', () => {
    const { rig, device, importer, fd } = setup();
    rig.close(device);
    rig.call(detach(importer.attachment));
    rig.closeFd(fd);
    expect(device.registration.count).toBe(1);
  });

  test('calls importers while the function still has its memory', () => {
    const { rig, device, importer } = setup();
    let enabled: unknown;
    importer.onInvalidate = () => {
      enabled = device.vconfig?.command;
    };
    rig.close(device);
    expect(enabled).toBe(3);
    expect(device.vconfig).toBeUndefined();
  });

  test('waits for maps', () => {
    const { rig, device, importer } = setup();
    const table = rig.map(importer);
    const close = rig.actor('close', closeDevice(device));
    expect(close.run()).toBe(false);
    rig.unmap(importer, table);
    expect(close.run()).toBe(true);
  });

  test('passes over a buffer that is being released, which puts its registration itself', () => {
    const { rig, device, fd, importer, priv } = setup();
    rig.call(detach(importer.attachment));
    const closer = rig.actor('close', closeFd(rig, fd));
    closer.runTo('memory_lock(W)');
    rig.close(device);
    expect([priv.vdev, device.registration.count]).toEqual([device, 2]);
    expect(closer.run()).toBe(true);
    expect([device.dmabufs.length, device.registration.count]).toEqual([0, 1]);
  });

  test('goes on behind a buffer that is being released: those after it forget the device', () => {
    const { rig, device, fd, importer } = setup();
    const later = rig.exported(device);
    rig.call(detach(importer.attachment));
    const closer = rig.actor('close', closeFd(rig, fd));
    closer.runTo('memory_lock(W)');
    rig.close(device);
    expect([later.priv.vdev, later.priv.revoked, device.dmabufs.includes(later.priv)]).toEqual([
      undefined,
      true,
      false,
    ]);
    expect(closer.run()).toBe(true);
    expect([device.dmabufs.length, device.registration.count]).toEqual([0, 1]);
  });
});
