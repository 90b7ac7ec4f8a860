import { describe, expect, test, vi } from 'vitest';
import { Scene } from './vfio-scene.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

describe('low power', () => {
  test('gives up the use of the device that the open had, and exit takes it again', () => {
    const scene = new Scene();
    scene.lpEnter();
    expect(scene.device.pmUsage).toBe(0);
    scene.lpExit();
    scene.lpExit();
    expect(scene.device.pmUsage).toBe(1);
  });

  test('a wakeup, a second entry, and a call take and give the use of the device in pairs', () => {
    const scene = new Scene();
    scene.lpEnter(true);
    scene.wake();
    expect([scene.device.wakeEventfd, scene.device.pmUsage]).toEqual([undefined, 1]);
    scene.lpEnter();
    scene.lpEnter();
    scene.write(0x3c, 1, 0);
    expect(scene.device.pmUsage).toBe(0);
  });

  test('a wakeup that nobody armed ends nothing, and the device sleeps again', () => {
    const scene = new Scene();
    scene.lpEnter();
    scene.wake();
    expect([scene.device.engaged, scene.device.pmUsage]).toEqual([true, 0]);
  });

  test('with wakeup armed any call ends low power', () => {
    const scene = new Scene();
    scene.lpEnter(true);
    scene.write(0x3c, 1, 0);
    expect([scene.device.engaged, scene.device.pmUsage, scene.map()]).toEqual([false, 1, 'ENODEV']);
  });

  test('a sleeping device that does not wake up answers EIO to any call, a wakeup too', () => {
    const scene = new Scene();
    scene.lpEnter();
    for (const operation of [scene.lpExit, scene.wake]) {
      scene.rig.kernel.faults.arm(1, 'pm_runtime_resume_and_get');
      expect(operation()).toBe('EIO');
    }
    expect([scene.device.engaged, scene.device.pmUsage]).toEqual([true, 0]);
  });

  test('ends when the device is closed', () => {
    const scene = new Scene();
    scene.lpEnter();
    scene.close();
    expect([scene.device.engaged, scene.device.pmUsage]).toEqual([false, 0]);
  });
});
