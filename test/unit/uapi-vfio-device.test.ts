/**
 * The ioctls of a device by their bytes: what must be there of a structure, in which order it is looked at, and what
 * is undone when an answer cannot be told.
 *
 * Source: iommufd 2.19, 7.3; vfio-dmabuf 2.1, 2.2, 2.10
 */
import { describe, expect, test } from 'vitest';
import type { Errno } from '../../impl/kernel/errno.ts';
import { eventfdOf, newEventfd } from '../../impl/kernel/eventfd.ts';
import type { File } from '../../impl/kernel/file.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import { encode } from '../../impl/uapi/layout.ts';
import * as vfio from '../../impl/uapi/vfio-structs.ts';
import { type How, n, RawRig, STRUCT } from './raw-rig.ts';

const { BIND_IOMMUFD, ATTACH_IOMMUFD_PT, DETACH_IOMMUFD_PT, DEVICE_FEATURE, PCI_HOT_RESET } = vfio;

/** dev1 is open, and bound to nothing. */
function unbound(): RawRig {
  const rig = new RawRig();
  rig.must({ do: 'vfio_close', dev: 'dev1' }, { do: 'vfio_open', dev: 'dev1' });
  return rig;
}

const on = (rig: RawRig, dev: string, how: How = {}): How => ({ ...how, fd: rig.fd(dev) });

describe('BIND', () => {
  const bind = (rig: RawRig, values: object, how: How = {}) =>
    rig.raw(vfio.VFIO_DEVICE_BIND_IOMMUFD, BIND_IOMMUFD, { iommufd: rig.ctx, ...values }, on(rig, 'dev1', how));

  test('tells the number of the device', () => {
    const rig = unbound();
    const { answer, out } = bind(rig, {});
    expect([answer, out.out_devid]).toEqual([0, rig.devId('dev1')]);
    expect(out.out_devid).toBeGreaterThan(0);
  });

  test.each<[string, object, How, string]>([
    ['too small', {}, { size: 15 }, 'EINVAL'],
    ['too large, not zero', {}, { size: 25, tail: [1] }, 'E2BIG'],
    ['not all there', {}, { bytes: 20 }, 'EFAULT'],
    ['no size there', {}, { bytes: 2 }, 'EFAULT'],
    ['an unknown flag', { flags: 2 }, {}, 'EINVAL'],
    ['a negative descriptor', { iommufd: -1 }, {}, 'EINVAL'],
    ['a closed descriptor', { iommufd: 99 }, {}, 'EBADF'],
    ['a token where there is none', { flags: 1 }, {}, 'EFAULT'],
    ['a token for a device that has none', { flags: 1, token_uuid_ptr: STRUCT }, {}, 'EINVAL'],
  ])('%s', (_, values, how, answer) => {
    const rig = unbound();
    const before = rig.state([]);
    expect(bind(rig, values, how).answer).toBe(answer);
    expect(rig.state([])).toEqual(before);
  });

  test('a second time is EINVAL, and a descriptor of something else EBADFD', () => {
    const rig = unbound();
    expect(bind(rig, { iommufd: rig.fd('buf') }).answer).toBe('EBADFD');
    expect([bind(rig, {}).answer, bind(rig, {}).answer]).toEqual([0, 'EINVAL']);
  });

  test('with a number that cannot be told leaves the device unbound, and may be tried again', () => {
    const rig = unbound();
    const before = rig.state([]);
    expect(bind(rig, {}, { readOnly: true }).answer).toBe('EFAULT');
    expect(rig.state([])).toEqual(before);
    expect(bind(rig, {}).answer).toBe(0);
  });
});

describe('ATTACH and DETACH', () => {
  const attach = (rig: RawRig, values: object, how: How = {}) =>
    rig.raw(
      vfio.VFIO_DEVICE_ATTACH_IOMMUFD_PT,
      ATTACH_IOMMUFD_PT,
      { pt_id: rig.id(), ...values },
      on(rig, 'dev0', how),
    );
  const detach = (rig: RawRig, values: object, how: How = {}) =>
    rig.raw(vfio.VFIO_DEVICE_DETACH_IOMMUFD_PT, DETACH_IOMMUFD_PT, values, on(rig, 'dev0', how));

  test('to an IOAS tells the number of its table; a detach may come twice', () => {
    const rig = new RawRig();
    const { answer, out } = attach(rig, {}, { size: 12, bytes: 12 });
    expect([answer, out.pt_id]).toEqual([0, rig.ioas().hwpts[0]?.id]);
    expect([detach(rig, {}).answer, detach(rig, {}, { size: 8, bytes: 8 }).answer]).toEqual([0, 0]);
    expect(rig.ioas().hwpts).toEqual([]);
  });

  test.each<[string, object, How, string]>([
    ['too small', {}, { size: 11 }, 'EINVAL'],
    ['not there', {}, { bytes: 11 }, 'EFAULT'],
    ['an unknown flag', { flags: 2 }, {}, 'EINVAL'],
    ['a PASID', { flags: 1, pasid: 5 }, {}, 'EOPNOTSUPP'],
    ['a PASID that its size does not count', { flags: 1 }, { size: 12 }, 'EINVAL'],
    ['a PASID that is not there', { flags: 1 }, { bytes: 12 }, 'EFAULT'],
    ['to what is not there', { pt_id: 99 }, {}, 'ENOENT'],
    ['to a device', { pt_id: 2 }, {}, 'EINVAL'],
  ])('attach, %s', (_, values, how, answer) => {
    const rig = new RawRig();
    const before = rig.state([]);
    expect(attach(rig, values, how).answer).toBe(answer);
    expect(rig.state([])).toEqual(before);
  });

  test.each<[string, object, How, string]>([
    ['too small', {}, { size: 7 }, 'EINVAL'],
    ['not there', {}, { bytes: 7 }, 'EFAULT'],
    ['an unknown flag', { flags: 4 }, {}, 'EINVAL'],
    ['a PASID', { flags: 1 }, {}, 'EOPNOTSUPP'],
  ])('detach, %s', (_, values, how, answer) => {
    const rig = new RawRig();
    rig.attach();
    expect(detach(rig, values, how).answer).toBe(answer);
    expect(rig.ioas().hwpts).toHaveLength(1);
  });

  test('an attach whose table cannot be told detaches again, even a device that was attached elsewhere', () => {
    const rig = new RawRig();
    const before = rig.state([]);
    expect(attach(rig, {}, { readOnly: true }).answer).toBe('EFAULT');
    expect(rig.state([])).toEqual(before);
    rig.must({ do: 'ioas_alloc', ctx: 'ctx', as: 'other' }, { do: 'vfio_attach', dev: 'dev0', pt: 'other' });
    expect(attach(rig, {}, { readOnly: true }).answer).toBe('EFAULT');
    expect([rig.ioas('other').hwpts, rig.ioas().hwpts, rig.machine.domainOf('dev0')]).toEqual([[], [], undefined]);
    rig.expectAtRest();
  });
});

test.each([
  ['ATTACH', vfio.VFIO_DEVICE_ATTACH_IOMMUFD_PT],
  ['FEATURE', vfio.VFIO_DEVICE_FEATURE],
  ['RESET', vfio.VFIO_DEVICE_RESET],
  ['a number that there is not', 0x3bff],
])('%s of a device that is not bound is EINVAL, whatever its argument', (_, number) => {
  const rig = unbound();
  expect(rig.value(number, 0n, rig.fd('dev1'))).toBe('EINVAL');
});

test('a number means what its descriptor says: 0x3b71 resets a device, and maps in a container', () => {
  const rig = new RawRig();
  expect(rig.raw(0x3b71, PCI_HOT_RESET, {}, on(rig, 'dev0')).answer).toBe(0);
  expect(rig.raw(0x3b71, PCI_HOT_RESET, {}).answer).toBe('EFAULT');
  expect(rig.value(0x3b80, 0n, rig.fd('dev0'))).toBe('ENOTTY');
});

test('RESET takes no argument, and takes the memory of the buffers back', () => {
  const rig = new RawRig();
  rig.must({ do: 'vfio_attach', dev: 'dev0', pt: 'ioas' });
  rig.mapFile();
  expect(rig.value(vfio.VFIO_DEVICE_RESET, 0n, rig.fd('dev0'))).toBe(0);
  expect(rig.reach('dev0')).toEqual([]);
});

test.each<[string, object, How, string | number]>([
  ['no groups', {}, {}, 0],
  ['a group, which a device that was opened by itself has not', { count: 1 }, {}, 'EINVAL'],
  ['a flag', { flags: 1 }, {}, 'EINVAL'],
  ['too small', {}, { size: 11 }, 'EINVAL'],
  ['not there', {}, { bytes: 11 }, 'EFAULT'],
])('PCI_HOT_RESET with %s', (_, values, how, answer) => {
  const rig = new RawRig();
  expect(rig.raw(vfio.VFIO_DEVICE_PCI_HOT_RESET, PCI_HOT_RESET, values, on(rig, 'dev0', how)).answer).toBe(answer);
});

describe('FEATURE', () => {
  const GET = vfio.FEATURE_GET;
  const SET = vfio.FEATURE_SET;
  const PROBE = vfio.FEATURE_PROBE;
  const feature = (flags: number, how: How = {}) => {
    const rig = new RawRig();
    return rig.raw(vfio.VFIO_DEVICE_FEATURE, DEVICE_FEATURE, { flags }, on(rig, 'dev0', how)).answer;
  };

  test.each<[string, number, How, string | number]>([
    ['header not there', 0, { bytes: 7 }, 'EFAULT'],
    ['too small', 11 | GET, { size: 7 }, 'EINVAL'],
    ['an unknown flag', 11 | GET | (1 << 19), {}, 'EINVAL'],
    ['got and set at once', 11 | GET | SET, {}, 'EINVAL'],
    ['one that there is not', 1 | PROBE, {}, 'ENOTTY'],
    ['asked for, to be got', 11 | GET | PROBE, {}, 0],
    ['asked for, in any direction', 11 | PROBE, {}, 0],
    ['asked for, to be set', 11 | SET | PROBE, {}, 'EINVAL'],
    ['asked for in both directions', 3 | GET | SET | PROBE, {}, 'EINVAL'],
    ['neither got nor set nor asked for', 11, {}, 'EINVAL'],
    ['an export without its fixed part', 11 | GET, { size: 23 }, 'EINVAL'],
    ['an export whose fixed part is not there', 11 | GET, { size: 24 }, 'EFAULT'],
    ['low power', 3 | SET, {}, 0],
    ['low power, got', 3 | GET, {}, 'EINVAL'],
    ['low power with wakeup, asked for', 4 | PROBE, {}, 0],
    ['low power with wakeup, got', 4 | GET, {}, 'EINVAL'],
    ['low power with wakeup without its eventfd', 4 | SET, { size: 15 }, 'EINVAL'],
    ['low power with wakeup whose eventfd is not there', 4 | SET, { size: 16 }, 'EFAULT'],
    ['the end of low power', 5 | SET, {}, 0],
    ['the end of low power, without a direction', 5, {}, 'EINVAL'],
  ])('%s', (_, flags, how, answer) => {
    expect(feature(flags, how)).toBe(answer);
  });

  /** LOW_POWER_ENTRY_WITH_WAKEUP by the number of an eventfd. */
  function withWakeup(rig: RawRig, wakeup_eventfd: number): unknown {
    const data = new Uint8Array(vfio.FEATURE_DATA_WAKEUP.size);
    encode(vfio.FEATURE_DATA_WAKEUP, { wakeup_eventfd }, data);
    const how = on(rig, 'dev0', { size: 16, tail: [...data] });
    return rig.raw(vfio.VFIO_DEVICE_FEATURE, DEVICE_FEATURE, { flags: 4 | SET }, how).answer;
  }

  function* openEventfd({ machine }: RawRig): Thread<[File, number | Errno]> {
    const file = newEventfd();
    return [file, machine.fds.install(file)];
  }

  test.each<[string, (rig: RawRig) => number, string]>([
    ['a negative number', () => -1, 'EINVAL'],
    ['a descriptor that is closed', () => 99, 'EBADF'],
    ['a descriptor of something else', (rig) => rig.ctx, 'EINVAL'],
  ])('low power with wakeup by %s is %s, and nobody notices', (_, eventfd, answer) => {
    const rig = new RawRig();
    const device = rig.machine.devices.get('dev0');
    expect(withWakeup(rig, eventfd(rig))).toBe(answer);
    expect([device?.engaged, device?.dmabufs[0]?.revoked]).toEqual([false, false]);
  });

  test('low power with wakeup ends with the first call, of which the eventfd is told', () => {
    const rig = new RawRig();
    const [file, fd] = rig.process.call(() => openEventfd(rig));
    const device = rig.machine.devices.get('dev0');
    expect(withWakeup(rig, fd as number)).toBe(0);
    expect([device?.engaged, eventfdOf(file)?.count]).toEqual([true, 0]);
    rig.must({ do: 'vfio_detach', dev: 'dev0' });
    expect([device?.engaged, eventfdOf(file)?.count]).toEqual([false, 1]);
  });

  /** An export of `ranges`, of which the structure says that there are `count`. */
  function exported(fixed: object, ranges: readonly (readonly [bigint, bigint])[], more: number[] = []): unknown {
    const rig = new RawRig();
    const data = new Uint8Array(16 + 16 * ranges.length);
    encode(vfio.FEATURE_DATA_DMA_BUF, { region_index: 2, nr_ranges: ranges.length, ...fixed }, data);
    for (const [i, [offset, length]] of ranges.entries()) {
      encode(vfio.REGION_DMA_RANGE, { offset: n(offset), length: n(length) }, data.subarray(16 + 16 * i));
    }
    const how = on(rig, 'dev0', { size: 24, tail: [...data, ...more] });
    const { answer } = rig.raw(vfio.VFIO_DEVICE_FEATURE, DEVICE_FEATURE, { flags: 11 | GET }, how);
    rig.expectAtRest();
    const device = rig.machine.devices.get('dev0');
    return typeof answer === 'number' ? device?.dmabufs.at(-1)?.physVec.map(({ len }) => len) : answer;
  }

  test.each<[string, object, (readonly [bigint, bigint])[], unknown]>([
    [
      'two ranges, of which argsz counts none',
      {},
      [
        [0n, 0x1000n],
        [0x2000n, 0x2000n],
      ],
      [0x1000, 0x2000],
    ],
    ['any flags for opening', { open_flags: 2 ** 32 - 1 }, [[0n, 0x1000n]], [0x1000]],
    ['no ranges', {}, [], 'EINVAL'],
    ['a flag', { flags: 2 ** 31 }, [[0n, 0x1000n]], 'EINVAL'],
    ['no such BAR', { region_index: 0 }, [[0n, 0x1000n]], 'ENODEV'],
    ['more ranges than are there', { nr_ranges: 2 }, [[0n, 0x1000n]], 'EFAULT'],
    ['more ranges than are there, of no such BAR', { region_index: 9, nr_ranges: 2 }, [[0n, 0x1000n]], 'ENODEV'],
    ['more ranges than can be copied', { nr_ranges: 2 ** 32 - 1 }, [[0n, 0x1000n]], 'ENOMEM'],
    ['half a page', {}, [[0n, 0x800n]], 'EINVAL'],
    ['a range that wraps', {}, [[2n ** 64n - 0x1000n, 0x1000n]], 'EOVERFLOW'],
  ])('an export of %s', (_, fixed, ranges, answer) => {
    expect(exported(fixed, ranges)).toEqual(answer);
  });
});
