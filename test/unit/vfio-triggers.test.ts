import { describe, expect, test, vi } from 'vitest';
import type { Thread } from '../../impl/kernel/thread.ts';
import { memoryEnabled, type VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { restoreIfEnabled } from '../../impl/vfio/pci-dmabuf-revoke.ts';
import { Scene } from './vfio-scene.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

function* restoreLocked(device: VfioPciDevice): Thread {
  yield device.memoryLock.write;
  try {
    yield* restoreIfEnabled(device);
  } finally {
    device.memoryLock.releaseWrite();
  }
}

describe('memory by config write', () => {
  test('off zaps, then revokes; on gives back without a zap', () => {
    const scene = new Scene();
    expect(scene.cmdMem(false)).toBeUndefined();
    expect([scene.log, scene.map()]).toEqual([['zap D0', 'callback D0'], 'ENODEV']);
    expect(scene.cmdMem(true)).toBeUndefined();
    expect([scene.log, scene.map()]).toEqual([['zap D0', 'callback D0', 'callback D0'], 'ok']);
  });

  test('C12: on, while on, calls nobody', () => {
    const scene = new Scene();
    scene.cmdMem(true);
    expect(scene.log).toEqual([]);
  });

  test('C13: off twice zaps twice and calls once', () => {
    const scene = new Scene();
    scene.cmdMem(false);
    scene.cmdMem(false);
    expect(scene.log).toEqual(['zap D0', 'callback D0', 'zap D0']);
  });

  test('C14: a write to the upper byte of the register is no trigger', () => {
    const scene = new Scene();
    expect(scene.write(5, 1, 0x04)).toBeUndefined();
    expect([scene.log, scene.device.vconfig?.command]).toEqual([[], 0x0403]);
  });

  test('C15: a write of the lower byte is a trigger, and leaves the upper alone', () => {
    const scene = new Scene();
    scene.write(5, 1, 0x04);
    scene.write(4, 1, 0x01);
    expect([scene.revoked, scene.device.vconfig?.command]).toEqual([true, 0x0401]);
  });

  test('a write elsewhere does nothing', () => {
    const scene = new Scene();
    scene.write(0x3c, 1, 0);
    expect([scene.log, scene.device.vconfig?.command]).toEqual([[], 3]);
  });

  test('a virtual function, which has no such bit, is revoked and given back by the same write', () => {
    const scene = new Scene({ noCommandMemory: true });
    scene.cmdMem(false);
    expect([scene.log, scene.revoked, scene.buffer.priv.revocations]).toEqual([
      ['zap D0', 'callback D0', 'callback D0'],
      false,
      1,
    ]);
  });

  test('answers EIO and does nothing when the register cannot be read', () => {
    const scene = new Scene();
    scene.rig.kernel.faults.arm(1, 'pci_user_read_config_word');
    expect(scene.cmdMem(false)).toBe('EIO');
    expect([scene.log, scene.revoked]).toEqual([[], false]);
  });

  test('answers EIO when the register cannot be written; the buffers stay revoked and the bit stays on', () => {
    const scene = new Scene();
    scene.rig.kernel.faults.arm(1, 'pci_user_write_config_word');
    expect(scene.cmdMem(false)).toBe('EIO');
    expect([scene.revoked, scene.device.vconfig?.command]).toEqual([true, 3]);
    expect(scene.device.memoryLock.locked).toBe(false);
    scene.cmdMem(true);
    expect(scene.map()).toBe('ok');
  });
});

describe('VFIO_DEVICE_RESET', () => {
  test('zaps, wakes, revokes, resets, and gives back', () => {
    const scene = new Scene();
    scene.pm(1);
    expect(scene.reset()).toBeUndefined();
    expect(scene.log).toEqual(['zap D1', 'callback D0', 'callback D0']);
    expect(scene.map()).toBe('ok');
  });

  test.each([['flr'], ['pm'], ['bus']] as const)('works by %s alone', (method) => {
    expect(new Scene({ resets: [method] }).reset()).toBeUndefined();
  });

  test('answers EINVAL without a way to reset, and nobody notices', () => {
    const scene = new Scene({ resets: [] });
    expect(scene.reset()).toBe('EINVAL');
    expect([scene.log, scene.revoked]).toEqual([[], false]);
  });

  test('C6: ends D3hot, and with it the revoke', () => {
    const scene = new Scene();
    scene.pm(3);
    expect(scene.map()).toBe('ENODEV');
    scene.reset();
    expect([scene.device.power, scene.map()]).toEqual([0, 'ok']);
  });

  test('C8: with memory off, leaves the buffers revoked', () => {
    const scene = new Scene();
    scene.cmdMem(false);
    expect(scene.reset()).toBeUndefined();
    expect([scene.map(), scene.importer.calls]).toEqual(['ENODEV', 1]);
  });

  test('C10: that fails has called the importers all the same, and gives the buffers back', () => {
    const scene = new Scene();
    scene.rig.kernel.faults.arm(1, 'pci_dev_trylock');
    expect(scene.reset()).toBe('EAGAIN');
    expect([scene.importer.calls, scene.map()]).toEqual([2, 'ok']);
  });
});

describe('FLR by config write', () => {
  test('zaps, revokes, and gives back', () => {
    const scene = new Scene();
    expect(scene.flr()).toBeUndefined();
    expect([scene.log, scene.map()]).toEqual([['zap D0', 'callback D0', 'callback D0'], 'ok']);
  });

  test('C6: ends D3hot, and with it the revoke', () => {
    const scene = new Scene();
    scene.pm(3);
    scene.log.length = 0;
    scene.flr();
    expect([scene.log, scene.device.power, scene.map()]).toEqual([['zap D3', 'callback D0'], 0, 'ok']);
  });

  test('of a function without FLR does nothing', () => {
    const scene = new Scene({ resets: ['pm', 'bus'] });
    expect(scene.flr()).toBeUndefined();
    expect(scene.log).toEqual([]);
  });

  test('does not report that the reset failed', () => {
    const scene = new Scene();
    scene.rig.kernel.faults.arm(1, 'pci_dev_trylock');
    expect(scene.flr()).toBeUndefined();
    expect([scene.importer.calls, scene.map()]).toEqual([2, 'ok']);
  });
});

describe('power by config write', () => {
  test('D3hot zaps, revokes, and only then sleeps; D0 gives back', () => {
    const scene = new Scene();
    expect(scene.pm(3)).toBeUndefined();
    expect([scene.log, scene.device.power, scene.map()]).toEqual([['zap D0', 'callback D0'], 3, 'ENODEV']);
    scene.pm(0);
    expect(scene.map()).toBe('ok');
  });

  test.each([1, 2] as const)('D%d neither zaps nor revokes', (state) => {
    const scene = new Scene();
    scene.pm(state);
    expect([scene.log, scene.device.power, scene.map()]).toEqual([[], state, 'ok']);
  });

  test('C9: memory off, D3hot, D0: revoked until memory is on', () => {
    const scene = new Scene();
    scene.cmdMem(false);
    scene.pm(3);
    scene.pm(0);
    expect(scene.map()).toBe('ENODEV');
    scene.cmdMem(true);
    expect(scene.map()).toBe('ok');
  });

  test('memory on in D3hot gives nothing back', () => {
    const scene = new Scene();
    scene.pm(3);
    scene.cmdMem(true);
    expect(scene.map()).toBe('ENODEV');
  });

  test('C11: D3hot with virtual functions enabled is refused inside: revoked and given back in one call', () => {
    const scene = new Scene();
    scene.device.sriovActive = true;
    expect(scene.pm(3)).toBeUndefined();
    expect([scene.device.power, scene.log, scene.map()]).toEqual([0, ['zap D0', 'callback D0', 'callback D0'], 'ok']);
  });
});

describe('C7: hot reset', () => {
  test.each([undefined, 'ENOTTY'] as const)('that answers %s ends D3hot, and with it the revoke', (hotResetErr) => {
    const scene = new Scene(hotResetErr && { hotResetErr });
    scene.pm(3);
    expect(scene.hotReset()).toBe(hotResetErr);
    expect([scene.device.power, scene.map()]).toEqual([0, 'ok']);
  });
});

describe('whether memory is enabled', () => {
  test('is asked under memory_lock', () => {
    const { rig, device } = new Scene();
    expect(() => rig.within(() => memoryEnabled(device))).toThrow('must be held here');
  });

  test('cannot be asked of a device that is not open', () => {
    const scene = new Scene();
    scene.close();
    expect(() => scene.rig.call(restoreLocked(scene.device))).toThrow('dev0 is not open: no vconfig');
  });
});
