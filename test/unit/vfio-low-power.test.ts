import { describe, expect, test, vi } from 'vitest';
import { Scene } from './vfio-scene.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

describe('low power', () => {
  test('entry zaps and revokes, exit gives back', () => {
    const scene = new Scene();
    expect(scene.lpEnter()).toBeUndefined();
    expect([scene.log, scene.device.engaged, scene.map()]).toEqual([['zap D0', 'callback D0'], true, 'ENODEV']);
    expect(scene.lpExit()).toBeUndefined();
    expect([scene.device.engaged, scene.device.pmUsage, scene.map()]).toEqual([false, 1, 'ok']);
  });

  test('exit without entry, and exit with memory off, give nothing back', () => {
    const scene = new Scene();
    scene.lpExit();
    expect([scene.log, scene.device.pmUsage]).toEqual([[], 1]);
    scene.cmdMem(false);
    scene.lpExit();
    expect(scene.map()).toBe('ENODEV');
  });

  test('C1: memory on, while low power is entered, makes the buffers usable', () => {
    const scene = new Scene();
    scene.lpEnter();
    scene.cmdMem(true);
    expect([scene.device.engaged, scene.map()]).toEqual([true, 'ok']);
  });

  test('C2: a buffer exported while low power is entered is born usable; its elder stays revoked', () => {
    const scene = new Scene();
    scene.lpEnter();
    expect(scene.rig.exported(scene.device).priv.revoked).toBe(false);
    expect(scene.revoked).toBe(true);
  });

  test('C3: reset makes the buffers usable while low power is entered', () => {
    const scene = new Scene();
    scene.lpEnter();
    scene.reset();
    expect([scene.device.engaged, scene.map()]).toEqual([true, 'ok']);
  });

  test('C4: a wakeup ends low power, but only exit gives the buffers back', () => {
    const scene = new Scene();
    scene.lpEnter(true);
    expect(scene.wake()).toBeUndefined();
    expect([scene.device.engaged, scene.device.wakeupArmed, scene.device.pmUsage, scene.map()]).toEqual([
      false,
      false,
      1,
      'ENODEV',
    ]);
    scene.lpExit();
    expect([scene.device.pmUsage, scene.map()]).toEqual([1, 'ok']);
  });

  test('a wakeup that nobody armed ends nothing, and the device sleeps again', () => {
    const scene = new Scene();
    scene.lpEnter();
    scene.wake();
    expect([scene.device.engaged, scene.device.pmUsage]).toEqual([true, 0]);
  });

  test('C5: a second entry answers EINVAL, with the buffers revoked and low power entered', () => {
    const scene = new Scene();
    scene.lpEnter();
    scene.cmdMem(true);
    expect(scene.lpEnter()).toBe('EINVAL');
    expect([scene.device.engaged, scene.map(), scene.device.pmUsage]).toEqual([true, 'ENODEV', 0]);
  });

  test('C16: after a plain entry any call wakes the device for itself, and the buffers stay revoked', () => {
    const scene = new Scene();
    scene.lpEnter();
    scene.write(0x3c, 1, 0);
    expect([scene.device.engaged, scene.device.pmUsage, scene.map()]).toEqual([true, 0, 'ENODEV']);
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

  test('falling asleep leaves the function in D0', () => {
    const scene = new Scene();
    scene.pm(3);
    scene.lpEnter();
    expect(scene.device.power).toBe(0);
  });

  test('ends when the device is closed', () => {
    const scene = new Scene();
    scene.lpEnter();
    scene.close();
    expect([scene.device.engaged, scene.device.pmUsage]).toEqual([false, 0]);
  });
});
