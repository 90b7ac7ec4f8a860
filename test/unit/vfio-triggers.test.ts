import { describe, expect, test, vi } from 'vitest';
import type { Thread } from '../../impl/kernel/thread.ts';
import { memoryEnabled, type VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { restoreIfEnabled } from '../../impl/vfio/pci-dmabuf-revoke.ts';
import { CORNER_CASES } from './corner-cases.ts';
import { callOf, firstWrong } from './trigger-notation.ts';
import { TRIGGERS } from './trigger-rows.ts';
import { TriggerScene } from './trigger-scene.ts';
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

const titled = <T extends { readonly promise: string; readonly derived?: true }>(row: T): readonly [string, T] => [
  `${row.derived ? '[derived] ' : ''}${row.promise}`,
  row,
];

describe('trigger', () => {
  test.each(TRIGGERS.map(titled))('%s', (_, { device, before = [], event, answer, effects, after }) => {
    const scene = new TriggerScene(device);
    expect(firstWrong(scene, before)).toBeUndefined();
    expect(scene.effectsOf(callOf(scene, event))).toEqual({ answer, effects });
    expect([scene.map(), scene.device.memoryLock.locked]).toEqual([after === 'usable' ? 'ok' : 'ENODEV', false]);
  });
});

describe('corner case', () => {
  test.each(CORNER_CASES.map((row) => [`${row.id}: ${titled(row)[0]}`, row] as const))(
    '%s',
    (_, { device, sequence }) => {
      expect(firstWrong(new Scene(device), sequence)).toBeUndefined();
    },
  );

  test('there is one at least for each of C1 to C16', () => {
    const ids = [...new Set(CORNER_CASES.map(({ id }) => id))];
    expect(ids).toEqual(Array.from({ length: 16 }, (_, i) => `C${i + 1}`));
  });

  test('a sequence says which of its steps is wrong', () => {
    expect(firstWrong(new Scene(), ['cmdMem 0', 'map'])).toBe('map: ENODEV, and not ok');
    expect(firstWrong(new Scene(), ['lpEnter ⇒ EINVAL'])).toBe('lpEnter: ok, and not EINVAL');
    expect(() => firstWrong(new Scene(), ['hibernate'])).toThrow('nobody knows "hibernate"');
  });
});

describe('VFIO_DEVICE_RESET', () => {
  test.each([['flr'], ['pm'], ['bus']] as const)('works by %s alone', (method) => {
    expect(new Scene({ resets: [method] }).reset()).toBeUndefined();
  });
});

test('the bit that asks for FLR reads 0, as the rest of the register was written', () => {
  const scene = new Scene();
  scene.flr();
  expect(scene.device.vconfig?.devctl).toBe(0);
});

test('memory off that cannot be written leaves the bit on; memory on gives the buffers back', () => {
  const scene = new Scene();
  scene.rig.kernel.faults.arm(1, 'pci_user_write_config_word');
  scene.cmdMem(false);
  expect([scene.device.vconfig?.command, scene.map()]).toEqual([3, 'ENODEV']);
  scene.cmdMem(true);
  expect(scene.map()).toBe('ok');
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
