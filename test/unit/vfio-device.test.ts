import { describe, expect, test, vi } from 'vitest';
import type { File } from '../../impl/kernel/file.ts';
import {
  vfioConfigFlr,
  vfioConfigMemory,
  vfioConfigPower,
  vfioConfigWrite,
  vfioDeviceReset,
  vfioHotReset,
  vfioLowPowerEntry,
  vfioLowPowerExit,
} from '../../impl/vfio/ioctl.ts';
import { physicalAttachIoas } from '../../impl/vfio/iommufd.ts';
import { type VfioPciDevice, vconfigOf } from '../../impl/vfio/pci-device.ts';
import { unregisterGroupDev } from '../../impl/vfio/registration.ts';
import { vfioDeviceAttach, vfioDeviceBind, vfioDeviceDetach, vfioDeviceOpen } from '../../impl/vfio/vfio-device.ts';
import { FakeCtx, fakeIommufd } from './vfio-fake-iommufd.ts';
import { Rig } from './vfio-rig.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('./vfio-fake-iommufd.ts'));

function ctxIn(file: File): FakeCtx {
  if (!(file.what instanceof FakeCtx)) throw new Error(`${file.name} is no iommufd`);
  return file.what;
}

function setup() {
  const rig = new Rig();
  const device = rig.device();
  const open = () => rig.call(vfioDeviceOpen(device));
  const bind = (iommufd: File | undefined = rig.ctx) => rig.call(vfioDeviceBind(device, () => iommufd));
  const ctx = ctxIn(rig.ctx);
  return { rig, device, open, bind, ctx };
}

describe('open', () => {
  test('takes a registration, and close gives it back', () => {
    const { rig, device, open } = setup();
    open();
    expect([device.registration.count, device.openCount]).toEqual([2, 0]);
    rig.close(device);
    expect([device.registration.count, device.file]).toEqual([1, undefined]);
  });

  test('answers ENOMEM, and leaves no registration', () => {
    const { rig, device, open } = setup();
    rig.kernel.faults.arm(1, 'vfio_allocate_device_file');
    expect(open()).toBe('ENOMEM');
    expect([device.registration.count, device.file]).toEqual([1, undefined]);
  });

  test('answers ENODEV when the driver has gone', () => {
    const { rig, device, open } = setup();
    rig.call(unregisterGroupDev(device));
    expect(open()).toBe('ENODEV');
    expect(rig.devSet.devices).toEqual([]);
  });
});

describe('a device that is open and not bound', () => {
  const calls: readonly (readonly [string, (device: VfioPciDevice, rig: Rig) => unknown])[] = [
    ['a config write of memory', (device, rig) => rig.call(vfioConfigMemory(device, false))],
    ['any config write', (device, rig) => rig.call(vfioConfigWrite(device, 4, 2, 0))],
    ['FLR', (device, rig) => rig.call(vfioConfigFlr(device))],
    ['a power state', (device, rig) => rig.call(vfioConfigPower(device, 3))],
    ['reset', (device, rig) => rig.call(vfioDeviceReset(device))],
    ['hot reset', (device, rig) => rig.call(vfioHotReset(device))],
    ['low power entry', (device, rig) => rig.call(vfioLowPowerEntry(device, true))],
    ['low power exit', (device, rig) => rig.call(vfioLowPowerExit(device))],
    ['attach', (device, rig) => rig.call(vfioDeviceAttach(device, 1))],
    ['detach', (device, rig) => rig.call(vfioDeviceDetach(device))],
    ['export', (device, rig) => rig.tryExport(device, [[0n, 0x1000n]])],
  ];

  test.each(calls)('answers EINVAL to %s, and without a descriptor EBADF', (_, call) => {
    const { rig, device, open } = setup();
    expect(call(device, rig)).toBe('EBADF');
    open();
    expect(call(device, rig)).toBe('EINVAL');
    expect(device.file?.file.refs.count).toBe(1);
  });
});

describe('bind', () => {
  test('opens the device with memory on, its BARs claimed, and keeps the iommufd', () => {
    const { rig, device, open, bind, ctx } = setup();
    open();
    expect(bind()).toBeUndefined();
    expect([device.openCount, device.vconfig, device.resetWorks, device.pmUsage]).toEqual([
      1,
      { command: 3, devctl: 0 },
      true,
      1,
    ]);
    expect(device.barErr).toEqual(['ENODEV', 'ENODEV', undefined, 'ENODEV', 'ENODEV', 'ENODEV']);
    expect([ctx.log, rig.ctx.refs.count]).toEqual([['bind dev0'], 2]);
  });

  test('answers EBADF without an open device', () => {
    expect(setup().bind()).toBe('EBADF');
  });

  test('answers EINVAL when bound, whatever it is given', () => {
    const { rig, device, open, bind } = setup();
    open();
    bind();
    expect(rig.call(vfioDeviceBind(device, () => undefined))).toBe('EINVAL');
    expect(bind(fakeIommufd('other'))).toBe('EINVAL');
  });

  test('answers EBADF for a closed iommufd and EBADFD for what is none', () => {
    const { rig, device, open, bind } = setup();
    open();
    expect(rig.call(vfioDeviceBind(device, () => undefined))).toBe('EBADF');
    const closed = fakeIommufd('closed');
    rig.within(() => closed.put());
    expect(bind(closed)).toBe('EBADF');
    expect(bind(device.file?.file)).toBe('EBADFD');
    expect([device.openCount, device.file?.file.refs.count]).toEqual([0, 1]);
  });

  test('answers EPERM when another iommufd owns the group, and keeps nothing of this one', () => {
    const { rig, open, bind } = setup();
    const sibling = rig.opened({ name: 'dev1' });
    const other = fakeIommufd('other');
    open();
    expect(bind(other)).toBe('EPERM');
    expect([other.refs.count, sibling.openCount]).toEqual([1, 1]);
  });

  test.each([
    ['pci_dev_trylock', 'EAGAIN'],
    ['vfio_config_init', 'ENOMEM'],
    ['pm_runtime_resume_and_get', 'EIO'],
  ] as const)('undoes all when %s fails with %s, and a second try succeeds', (site, answer) => {
    const { rig, device, open, bind, ctx } = setup();
    open();
    rig.kernel.faults.arm(1, site);
    expect(bind()).toBe(answer);
    expect([ctx.log, rig.ctx.refs.count]).toEqual([['bind dev0', 'unbind dev0'], 1]);
    expect([device.openCount, device.pmUsage, device.iommufdDevice]).toEqual([0, 0, undefined]);
    expect(bind()).toBeUndefined();
  });

  test('of a second file answers EINVAL while the first is kept open by a mapping, and succeeds after it', () => {
    const { rig, device, open, bind, ctx } = setup();
    const first = open();
    bind();
    const buffer = rig.exported(device);
    // A CPU mapping of a BAR is a reference to the file.
    rig.within(() => device.file?.file.get());
    rig.close(device);
    expect([buffer.priv.revoked, device.openCount]).toEqual([false, 1]);
    open();
    expect(bind()).toBe('EINVAL');
    expect(rig.tryExport(device, [[0n, 0x1000n]])).toBe('EINVAL');
    rig.within(() => typeof first === 'object' && first.put());
    expect([buffer.priv.vdev, device.openCount]).toEqual([undefined, 0]);
    expect(bind()).toBeUndefined();
    expect(ctx.log).toEqual(['bind dev0', 'unbind dev0', 'bind dev0']);
  });
});

describe('attach', () => {
  test('attaches, then replaces, and detach is done once', () => {
    const { rig, device, open, bind, ctx } = setup();
    open();
    bind();
    expect(rig.call(vfioDeviceDetach(device))).toBeUndefined();
    expect(rig.call(vfioDeviceAttach(device, 7))).toBeUndefined();
    expect(rig.call(vfioDeviceAttach(device, 8))).toBeUndefined();
    expect(rig.call(vfioDeviceDetach(device))).toBeUndefined();
    expect(rig.call(vfioDeviceDetach(device))).toBeUndefined();
    expect(ctx.log).toEqual(['bind dev0', 'attach dev0 to 7', 'replace dev0 to 8', 'detach dev0']);
  });

  test('that iommufd refuses leaves the device as it was', () => {
    const { rig, device, open, bind, ctx } = setup();
    open();
    bind();
    ctx.refusal = 'EADDRINUSE';
    expect(rig.call(vfioDeviceAttach(device, 7))).toBe('EADDRINUSE');
    expect(device.iommufdAttached).toBe(false);
    rig.call(vfioDeviceAttach(device, 7));
    ctx.refusal = 'ENOENT';
    expect(rig.call(vfioDeviceAttach(device, 9))).toBe('ENOENT');
    expect(device.iommufdAttached).toBe(true);
  });

  test('without dev_set->lock, or of a device that is not bound, is a splat', () => {
    const { rig, device } = setup();
    expect(() => rig.call(physicalAttachIoas(device, 1))).toThrow('must be held here');
    expect(() => rig.holding(rig.devSet.lock, () => physicalAttachIoas(device, 1))).toThrow('not bound');
  });
});

describe('close', () => {
  test('revokes, then detaches, then unbinds, and lets go of the iommufd last', () => {
    const { rig, device, open, bind, ctx } = setup();
    open();
    bind();
    rig.call(vfioDeviceAttach(device, 7));
    const importer = rig.attach(rig.exported(device));
    importer.onInvalidate = () => ctx.log.push('revoke');
    rig.within(() => rig.ctx.put());
    rig.close(device);
    expect(ctx.log.slice(2)).toEqual(['revoke', 'detach dev0', 'unbind dev0', 'release']);
    expect([device.openCount, device.iommufdDevice, device.vconfig, device.pmUsage]).toEqual([
      0,
      undefined,
      undefined,
      0,
    ]);
    expect(device.barErr).toEqual([]);
  });

  test('by a descriptor waits for a call on it that is under way', () => {
    const { rig, device, open, bind } = setup();
    open();
    bind();
    const buffer = rig.exported(device);
    const importer = rig.attach(buffer);
    const table = rig.map(importer);
    const reset = rig.actor('reset', vfioDeviceReset(device));
    expect(reset.run()).toBe(false);
    rig.close(device);
    expect([device.openCount, buffer.priv.vdev]).toEqual([1, device]);
    rig.unmap(importer, table);
    expect(reset.run()).toBe(true);
    expect([device.openCount, buffer.priv.vdev, device.file]).toEqual([0, undefined, undefined]);
  });

  test('leaves no virtual configuration to read', () => {
    const { rig, device, open, bind } = setup();
    open();
    bind();
    rig.close(device);
    expect(() => vconfigOf(device)).toThrow('dev0 is not open');
  });
});

describe('unregistration', () => {
  test('waits for open files and for buffers of an open device, not for those of a closed one', () => {
    const { rig, device, open, bind } = setup();
    open();
    bind();
    rig.exported(device);
    const unregister = rig.actor('unbind', unregisterGroupDev(device));
    expect(unregister.run()).toBe(false);
    rig.close(device);
    expect(unregister.run()).toBe(true);
    expect(rig.fds.size).toBe(1);
  });
});
