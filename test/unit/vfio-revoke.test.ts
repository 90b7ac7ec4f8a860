import { describe, expect, test, vi } from 'vitest';
import { detach, dynamicAttach, mapAttachment } from '../../impl/dmabuf/attachment.ts';
import { USAGE, type Usage } from '../../impl/dmabuf/resv.ts';
import type { SgTable } from '../../impl/dmabuf/sg-table.ts';
import { type Errno, isErrno } from '../../impl/kernel/errno.ts';
import { featuresOf } from '../../impl/kernel/features.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import { vfioConfigMemory } from '../../impl/vfio/ioctl.ts';
import type { Importer } from './vfio-rig.ts';
import { setup } from './vfio-scene.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

/** Map under the lock, as a thread. */
function* map({ attachment }: Importer): Thread<SgTable | Errno> {
  const { resv } = attachment.dmabuf;
  yield resv;
  try {
    return yield* mapAttachment(attachment);
  } finally {
    resv.release();
  }
}

describe('a revoke waits', () => {
  test.each(Object.entries(USAGE))('for a fence of usage %s (%d), and returns when it signals', (_, usage) => {
    const { rig, device, buffer } = setup();
    const fence = rig.fence(buffer, usage as Usage);
    const off = rig.actor('off', vfioConfigMemory(device, false));
    expect(off.run()).toBe(false);
    expect(buffer.priv.revoked).toBe(true);
    expect(buffer.dmabuf.resv.locked).toBe(true);
    fence.signal();
    expect(off.run()).toBe(true);
  });

  test('for the last of several fences', () => {
    const { rig, device, buffer } = setup();
    const fences = [USAGE.KERNEL, USAGE.BOOKKEEP, USAGE.READ].map((usage) => rig.fence(buffer, usage));
    const off = rig.actor('off', vfioConfigMemory(device, false));
    for (const fence of fences) {
      expect(off.run()).toBe(false);
      fence.signal();
    }
    expect(off.run()).toBe(true);
  });

  test('for the last of several unmaps, with resv free and memory_lock held', () => {
    const { rig, device, buffer, importer } = setup();
    const maps = [rig.map(importer), rig.map(importer), rig.map(importer)];
    const off = rig.actor('off', vfioConfigMemory(device, false));
    for (const table of maps) {
      expect(off.run()).toBe(false);
      expect(buffer.dmabuf.resv.locked).toBe(false);
      expect(device.memoryLock.locked).toBe(true);
      rig.unmap(importer, table);
    }
    expect(off.run()).toBe(true);
    expect(device.memoryLock.locked).toBe(false);
  });

  test('for fences before unmaps: while a fence is pending, unmap waits for resv', () => {
    const { rig, device, buffer, importer } = setup();
    const table = rig.map(importer);
    const fence = rig.fence(buffer, USAGE.BOOKKEEP);
    const off = rig.actor('off', vfioConfigMemory(device, false));
    off.run();
    expect(() => rig.unmap(importer, table)).toThrow('deadlock');
    fence.signal();
    expect(off.run()).toBe(false);
    rig.unmap(importer, table);
    expect(off.run()).toBe(true);
  });

  test('for ever, if an importer never unmaps: there is no timeout', () => {
    const { rig, importer, off } = setup();
    rig.map(importer);
    expect(off).toThrow('deadlock');
  });

  test('for a slow importer of the first buffer before it touches the second', () => {
    const { rig, device, importer, priv } = setup();
    const second = rig.exported(device);
    const table = rig.map(importer);
    const off = rig.actor('off', vfioConfigMemory(device, false));
    expect(off.run()).toBe(false);
    expect([priv.revoked, second.priv.revoked]).toEqual([true, false]);
    rig.unmap(importer, table);
    expect(off.run()).toBe(true);
    expect(second.priv.revoked).toBe(true);
  });
});

describe('the drain token', () => {
  test('is re-armed when the revoke returns', () => {
    const { priv, off } = setup();
    off();
    expect([priv.kref.count, priv.comp.ready()]).toEqual([1, false]);
  });

  test('counts again after an un-revoke, so the second revoke waits too', () => {
    const { rig, device, importer, off, on } = setup();
    off();
    on();
    const table = rig.map(importer);
    const again = rig.actor('off', vfioConfigMemory(device, false));
    expect(again.run()).toBe(false);
    rig.unmap(importer, table);
    expect(again.run()).toBe(true);
  });

  test('is not drained a second time by the close of a device whose buffer is revoked already', () => {
    const { rig, device, priv, off } = setup();
    off();
    rig.close(device);
    expect([priv.kref.count, priv.vdev, priv.revocations]).toEqual([1, undefined, 1]);
  });

  test('is never taken from a buffer that is coming back: a map is refused before, and counted after', () => {
    const { rig, device, importer, priv, off } = setup();
    off();
    // The un-revoke takes resv twice; with the first time over, the buffer is still revoked.
    const fence = rig.fence(rig.behind(3), USAGE.READ);
    const on = rig.actor('on', vfioConfigMemory(device, true));
    expect(on.run()).toBe(false);
    fence.signal();
    on.runTo('resv');
    expect(rig.map(importer)).toBe('ENODEV');
    const mapper = rig.actor('map', map(importer));
    mapper.runTo('resv');
    expect(on.run()).toBe(true);
    expect(mapper.run()).toBe(true);
    expect(isErrno(mapper.answer)).toBe(false);
    expect(priv.kref.count).toBe(2);
  });
});

describe('callbacks', () => {
  test('run once per revoke and once per un-revoke, with resv and memory_lock held', () => {
    const { importer, device, dmabuf, priv, off, on } = setup();
    const seen: unknown[] = [];
    importer.onInvalidate = () => seen.push([priv.revoked, dmabuf.resv.locked, device.memoryLock.locked]);
    off();
    on();
    expect(seen).toEqual([
      [true, true, true],
      [true, true, true],
    ]);
    expect(importer.calls).toBe(2);
  });

  test('do not run when nothing changes', () => {
    const { importer, priv, off, on } = setup();
    on();
    expect(importer.calls).toBe(0);
    off();
    off();
    expect([importer.calls, priv.revocations]).toEqual([1, 1]);
    on();
    on();
    expect(importer.calls).toBe(2);
  });

  test('do not run for an importer whose detach returned', () => {
    const { rig, importer, off } = setup();
    rig.call(detach(importer.attachment));
    off();
    expect(importer.calls).toBe(0);
  });

  test('and fences are waited for on un-revoke, too', () => {
    const { rig, device, buffer, off, priv } = setup();
    off();
    const fence = rig.fence(buffer, USAGE.WRITE);
    const on = rig.actor('on', vfioConfigMemory(device, true));
    expect(on.run()).toBe(false);
    expect(priv.revoked).toBe(true);
    fence.signal();
    expect(on.run()).toBe(true);
    expect(priv.revoked).toBe(false);
  });
});

/** A device's buffer on a kernel of that version, with a fence and a live map in the way of a revoke. */
function busy(kernel: string): ReturnType<typeof setup> {
  const scene = setup(featuresOf(kernel));
  scene.rig.fence(scene.buffer, USAGE.BOOKKEEP);
  expect(isErrno(scene.rig.map(scene.importer))).toBe(false);
  return scene;
}

describe('V11: kernel', () => {
  test('6.19 revokes without waiting for fences or maps, and restores without telling the importers', () => {
    const { rig, device, buffer, importer } = busy('6.19');
    const off = rig.actor('off', vfioConfigMemory(device, false));
    expect([off.run(), buffer.priv.revoked, importer.calls]).toEqual([true, true, 1]);
    const on = rig.actor('on', vfioConfigMemory(device, true));
    expect([on.run(), buffer.priv.revoked, importer.calls]).toEqual([true, false, 1]);
  });

  test('7.1 waits for both', () => {
    const { rig, device, buffer, importer } = busy('7.1');
    const off = rig.actor('off', vfioConfigMemory(device, false));
    expect([off.run(), buffer.priv.revoked, importer.calls]).toEqual([false, true, 1]);
  });

  test.each<[kernel: string, answer: string]>([
    ['6.19', 'attached'],
    ['7.0.1', 'attached'],
    ['7.1', 'EOPNOTSUPP'],
  ])('%s answers an importer that cannot be told of a revoke: %s', (kernel, answer) => {
    const { rig, dmabuf } = setup(featuresOf(kernel));
    const attached = rig.call(dynamicAttach(dmabuf, { name: 'nic' }, { allowPeer2peer: true }, undefined));
    expect(isErrno(attached) ? attached : 'attached').toBe(answer);
  });
});
