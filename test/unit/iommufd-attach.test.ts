/** Devices and groups: bind, attach, replace, detach. Source: iommufd 1.5, 2.11, 2.12, 2.19 */
import { describe, expect, test } from 'vitest';
import { IommuGroup } from '../../impl/iommu/group.ts';
import { detachHwpt } from '../../impl/iommufd/attach.ts';
import {
  ctxHasGroup,
  ctxOf,
  iommufdDeviceAttach,
  iommufdDeviceDetach,
  iommufdDeviceReplace,
} from '../../impl/iommufd/device.ts';
import type { File } from '../../impl/kernel/file.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import { A, attached, CONFIG, MOCK, OK, Rig, removed, U64_MAX } from './iommufd-rig.ts';

/** Both devices in one group. */
const TWINS: MachineConfig = {
  ...CONFIG,
  devices: new Map([...CONFIG.devices].map(([name, device]) => [name, { ...device, group: 7 }])),
};
const other: Command = { do: 'ioas_alloc', ctx: 'ctx', as: 'other' };
const detach = (dev: string): Command => ({ do: 'vfio_detach', dev });

/** The object that a bound device is in its context. */
function bound(rig: Rig, dev = 'dev0') {
  const idev = rig.machine.devices.get(dev)?.iommufdDevice;
  if (idev === undefined) throw new Error(`${dev} is not bound`);
  return idev;
}

const MSI = [0xfee0_0000n, 0xfeef_ffffn] as const;
const APERTURE_END = 0x1_0000_0000_0000n;

function rangesOf(rig: Rig, ioas = 'ioas'): unknown {
  const answer = rig.ranges(ioas);
  return 'ok' in answer && answer.ok.ranges;
}
const FREE = [[0n, U64_MAX]];
const ATTACHED = [
  [0n, MSI[0] - 1n],
  [MSI[1] + 1n, APERTURE_END - 1n],
];

test('attach reserves the windows of the device and what lies outside the aperture; detach gives both back', () => {
  const rig = attached();
  expect(rangesOf(rig)).toEqual(ATTACHED);
  rig.must({ do: 'vfio_attach', dev: 'dev1', pt: 'ioas' }, detach('dev0'));
  expect(rangesOf(rig)).toEqual(ATTACHED); // dev1 still reserves the same.
  rig.must(detach('dev1'));
  expect(rangesOf(rig)).toEqual(FREE);
  expect(rig.ioas().hwpts).toEqual([]);
});

test('ranges are cut where reservations overlap, touch, or reach the last byte', () => {
  const rig = new Rig({
    ...CONFIG,
    reserved: [
      [0x1000n, 0x1fffn],
      [0x1800n, 0x2fffn],
      [0x3000n, 0x3fffn],
      [0n, 0xfffn],
    ],
  });
  rig.attach();
  expect(rangesOf(rig)).toEqual([[0x4000n, APERTURE_END - 1n]]);
  const mock = attached([], '7.2', MOCK);
  expect(rangesOf(mock)).toEqual([[A, 0x7fff_ffffn]]);
  const whole = attached([], '7.2', { ...CONFIG, aperture: [0n, U64_MAX], reserved: [] });
  expect(rangesOf(whole)).toEqual(FREE);
});

test('devices that attach to one IOAS share its automatic domain, and never one that was allocated', () => {
  const rig = new Rig();
  rig.hwpt('manual');
  rig.must({ do: 'vfio_attach', dev: 'dev0', pt: 'ioas' }, { do: 'vfio_attach', dev: 'dev1', pt: 'ioas' });
  expect(rig.domain('dev0')).toBe(rig.domain('dev1'));
  expect(rig.domain('dev0')).not.toBe(rig.domain('manual'));
  rig.must(detach('dev0'));
  expect(rig.ioas().hwpts.map(({ auto }) => auto)).toEqual([false, true]);
});

describe('attach refuses', () => {
  test('a number that is nobody, or a device', () => {
    const rig = new Rig();
    const idev = bound(rig);
    expect(rig.call(iommufdDeviceAttach(idev, 99))).toBe('ENOENT');
    expect(rig.call(iommufdDeviceAttach(idev, idev.id))).toBe('EINVAL');
    rig.expectAtRest();
  });

  test('a device that is attached already, on its HWPT and on its IOAS', () => {
    const rig = attached();
    const hwpt = rig.ioas().hwpts[0];
    expect(rig.call(iommufdDeviceAttach(bound(rig), hwpt?.id ?? 0))).toBe('EBUSY');
    expect(rig.call(iommufdDeviceAttach(bound(rig), rig.ioas().id))).toBe('EBUSY');
    rig.expectAtRest();
  });

  test('the second device of a group elsewhere than the first, even where another automatic domain is', () => {
    const rig = new Rig({
      ...TWINS,
      devices: new Map([...TWINS.devices, ['dev2', { bars: new Map(), group: 8, bus: 3, resets: ['flr'] }]]),
    });
    rig.must(other, { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' });
    expect(rig.attach('dev1', 'other')).toEqual({ err: 'EINVAL' });
    rig.must(
      { do: 'vfio_open', dev: 'dev2' },
      { do: 'vfio_bind', dev: 'dev2', ctx: 'ctx' },
      { do: 'vfio_attach', dev: 'dev2', pt: 'other' },
    );
    expect(rig.attach('dev1', 'other')).toEqual({ err: 'EINVAL' });
    expect(rig.ioas('other').hwpts).toHaveLength(1);
    rig.expectAtRest();
    expect(rig.attach('dev1', 'ioas')).toEqual(OK);
    expect(rig.domain('dev1')).toBe(rig.domain('dev0'));
  });

  test.each<[what: string, iova: bigint]>([
    ['a window of the device', MSI[0]],
    ['the end of the aperture', APERTURE_END - 0x1000n],
  ])('an IOAS with an area across %s, and the ranges stay as they were', (_, iova) => {
    const rig = new Rig();
    rig.mapFile({ iova, length: 0x2000n });
    expect(rig.attach()).toEqual({ err: 'EADDRINUSE' });
    expect(rangesOf(rig)).toEqual(FREE);
    rig.expectAtRest();
  });
});

describe('replace', () => {
  test('refuses a device that is not attached, and does nothing for the same HWPT', () => {
    const rig = new Rig();
    expect(rig.call(iommufdDeviceReplace(bound(rig), rig.ioas().id))).toBe('EINVAL');
    rig.hwpt('manual');
    rig.must({ do: 'vfio_attach', dev: 'dev0', pt: 'manual' });
    const before = rig.state(['dev0']);
    expect(rig.attach('dev0', 'manual')).toEqual(OK);
    expect(rig.state(['dev0'])).toEqual(before);
    rig.expectAtRest();
  });

  test('moves the whole group, and its reservations; the old automatic domain goes', () => {
    const rig = new Rig(TWINS);
    rig.must(other, { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' }, { do: 'vfio_attach', dev: 'dev1', pt: 'ioas' });
    expect(rig.attach('dev1', 'other')).toEqual(OK);
    expect(rig.domain('dev0')).toBe(rig.ioas('other').hwpts[0]?.domain);
    expect([rangesOf(rig, 'other'), rangesOf(rig, 'ioas'), rig.ioas().hwpts]).toEqual([ATTACHED, FREE, []]);
    rig.must(detach('dev0'));
    expect(rig.attach('dev0', 'ioas')).toEqual({ err: 'EINVAL' });
    rig.expectAtRest();
  });

  test('within one IOAS leaves the reservations where they are', () => {
    const rig = attached();
    rig.hwpt('manual');
    rig.machine.kernel.faults.arm(1, 'iopt_reserve_iova');
    expect(rig.attach('dev0', 'manual')).toEqual(OK);
    expect([rig.machine.kernel.faults.fired, rangesOf(rig)]).toEqual([false, ATTACHED]);
  });

  test.each([1, 2])('moves nobody, when the reservation of device %i of a group of two fails', (nth) => {
    const rig = new Rig(TWINS);
    rig.must(other, { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' }, { do: 'vfio_attach', dev: 'dev1', pt: 'ioas' });
    rig.must({ do: 'hwpt_alloc', dev: 'dev0', ioas: 'other', as: 'manual' });
    const before = rig.state(['dev0', 'dev1'], ['ioas', 'other']);
    rig.machine.kernel.faults.arm(nth, 'iopt_reserve_iova');
    expect(rig.attach('dev0', 'manual')).toEqual({ err: 'ENOMEM' });
    expect(rig.state(['dev0', 'dev1'], ['ioas', 'other'])).toEqual(before);
    rig.expectAtRest();
  });

  test('moves nobody, when an area of the new IOAS is in the way, and leaves no domain there', () => {
    const rig = attached([other]);
    rig.mapFile({ ioas: 'other', iova: MSI[0] });
    expect(rig.attach('dev0', 'other')).toEqual({ err: 'EADDRINUSE' });
    expect([rig.ioas('other').hwpts, rangesOf(rig, 'other')]).toEqual([[], FREE]);
    expect(rig.domain('dev0')).toBe(rig.ioas().hwpts[0]?.domain);
    rig.expectAtRest();
  });
});

test('detach does nothing for a device that is not attached', () => {
  const rig = new Rig();
  expect(rig.call(detachHwpt(bound(rig)))).toBe(undefined);
  rig.call(iommufdDeviceDetach(bound(rig)));
  rig.attach('dev1');
  expect(rig.call(detachHwpt(bound(rig)))).toBe(undefined);
  rig.expectAtRest();
});

test('bind is EPERM, while another context owns a device of the group', () => {
  const rig = new Rig(TWINS);
  rig.must({ do: 'vfio_close', dev: 'dev1' }, { do: 'vfio_open', dev: 'dev1' }, { do: 'iommufd_open', as: 'ctx2' });
  expect(rig.do({ do: 'vfio_bind', dev: 'dev1', ctx: 'ctx2' })).toEqual({ err: 'EPERM' });
  rig.must({ do: 'vfio_close', dev: 'dev0' }, { do: 'vfio_bind', dev: 'dev1', ctx: 'ctx2' });
  rig.expectAtRest();
});

test('a context knows the groups of which it owns a device, and no file but an iommufd is one', () => {
  const rig = new Rig();
  const { fds, devices } = rig.machine;
  const { ctx } = rig.ioas();
  const [group, other] = ['dev0', 'dev1'].map((name) => devices.get(name)?.group ?? new IommuGroup(9));
  rig.must({ do: 'vfio_close', dev: 'dev1' });
  expect([ctxHasGroup(ctx, group!), ctxHasGroup(ctx, other!)]).toEqual([true, false]);
  const ctxBehind = (handle: string): unknown => ctxOf(fds.lookup(rig.fd(handle)) as File);
  expect([ctxBehind('ctx'), ctxBehind('dev0'), ctxBehind('buf')]).toEqual([ctx, undefined, undefined]);
});

test('UNMAP stays possible for what an attach has refused', () => {
  const rig = new Rig();
  rig.mapFile({ iova: MSI[0], length: 0x1000n });
  rig.attach();
  expect(rig.unmap(MSI[0], 0x1000n)).toEqual(removed(0x1000n));
  expect(rig.attach()).toEqual(OK);
});
