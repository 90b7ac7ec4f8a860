/**
 * Every check of an export by its bytes, from the header of the ioctl to the new descriptor: each alone, and each
 * together with every later one, which it wins over.
 *
 * Source: vfio-dmabuf 2.1, 2.2, 12.3 S1. Not here: row 9, because 2^32 ranges do not overflow 64 bits, and row 18,
 * because an open descriptor keeps the driver.
 */
import { describe, expect, test } from 'vitest';
import type { Errno } from '../../impl/kernel/errno.ts';
import type { Thread } from '../../impl/kernel/thread.ts';
import { pcimP2pdmaInit } from '../../impl/pci/p2pdma.ts';
import type { BarResource } from '../../impl/pci/topology.ts';
import { encode } from '../../impl/uapi/layout.ts';
import * as vfio from '../../impl/uapi/vfio-structs.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { n, RawRig } from './raw-rig.ts';

const { FEATURE_GET: GET, FEATURE_SET: SET, FEATURE_PROBE: PROBE, FEATURE_DMA_BUF: DMA_BUF } = vfio;
const HEADER = 8;
const FIXED = 16;

type Range = readonly [offset: bigint, length: bigint];
const PAGE: Range = [0n, 0x1000n];

/** What is asked for, and of what kind of device. */
interface Request {
  bound: boolean;
  asleep: boolean;
  exports: boolean;
  feature: number;
  flags: number;
  /** Instead of what there is. */
  argsz: number | undefined;
  readable: number | undefined;
  count: number | undefined;
  rangeFlags: number;
  region: number;
  ranges: readonly Range[];
  fault: string | undefined;
}

const right = (): Request => ({
  bound: true,
  asleep: false,
  exports: true,
  feature: DMA_BUF,
  flags: GET,
  argsz: undefined,
  readable: undefined,
  count: undefined,
  rangeFlags: 0,
  region: 2,
  ranges: [PAGE],
  fault: undefined,
});

/** BAR 0 is smaller than a page, 3 an I/O BAR, 4 another driver's; BAR 1 is the upper half of BAR 0. */
const MORE: readonly (readonly [number, BarResource])[] = [
  [0, { size: 0x100, phys: 0x30_0000_0000 }],
  [3, { size: 0x1000, phys: 0x8000, io: true }],
  [4, { size: 0x1000, phys: 0x50_0000_0000, claimErr: 'EBUSY' }],
];

/** The rows in their order: number, what is wrong, the answer, and how the request comes to be so. */
const CHECKS: readonly (readonly [row: string, what: string, answer: Errno | 0, wrong: Partial<Request>])[] = [
  ['2.1.1', 'the device is not bound', 'EINVAL', { bound: false }],
  ['2.1.2', 'the device does not wake up', 'EIO', { asleep: true, fault: 'pm_runtime_resume_and_get' }],
  ['2.1.3', 'the header cannot be read', 'EFAULT', { readable: HEADER - 1 }],
  ['2.1.4', 'argsz does not cover the header', 'EINVAL', { argsz: HEADER - 1 }],
  ['2.1.5', 'there is a flag that nobody knows', 'EINVAL', { flags: GET | (1 << 19) }],
  ['2.1.6', 'it is got and set at once', 'EINVAL', { flags: GET | SET }],
  ['2.1.7', 'the feature is one that nobody knows', 'ENOTTY', { feature: 0xffff }],
  ['2.2.1', 'the driver exports nothing', 'EOPNOTSUPP', { exports: false }],
  ['2.2.2', 'it is set', 'EINVAL', { flags: SET }],
  ['2.2.2', 'it is asked whether it can be set', 'EINVAL', { flags: SET | PROBE }],
  ['2.2.3', 'it is asked for', 0, { flags: PROBE }],
  ['2.2.3', 'it is asked whether it can be got', 0, { flags: GET | PROBE }],
  ['2.2.4', 'it is neither got nor set nor asked for', 'EINVAL', { flags: 0 }],
  ['2.2.5', 'argsz does not cover the fixed part', 'EINVAL', { argsz: HEADER + FIXED - 1 }],
  ['2.2.6', 'the fixed part cannot be read', 'EFAULT', { readable: HEADER + FIXED - 1 }],
  ['2.2.7', 'there are no ranges', 'EINVAL', { count: 0 }],
  ['2.2.7', 'there are flags', 'EINVAL', { rangeFlags: 1 }],
  ['2.2.8', 'the region is the ROM', 'ENODEV', { region: 6 }],
  ['2.2.8', 'the region is configuration space', 'ENODEV', { region: 7 }],
  ['2.2.8', 'the region is VGA', 'ENODEV', { region: 8 }],
  ['2.2.8', 'the region is none', 'ENODEV', { region: 2 ** 32 - 1 }],
  ['2.2.8', 'the BAR is absent', 'ENODEV', { region: 5 }],
  ['2.2.8', 'the BAR is the upper half of another', 'ENODEV', { region: 1 }],
  ['2.2.8', "the BAR is another driver's", 'ENODEV', { region: 4 }],
  ['2.2.10', 'there are more ranges than can be copied', 'ENOMEM', { count: 2 ** 32 - 1 }],
  ['2.2.11', 'the ranges cannot be read', 'EFAULT', { readable: HEADER + FIXED + 15 }],
  ['2.2.12', 'a range is empty', 'EINVAL', { ranges: [PAGE, [0x1000n, 0n]] }],
  ['2.2.12', 'a range begins inside of a page', 'EINVAL', { ranges: [PAGE, PAGE, [0x800n, 0x1000n]] }],
  ['2.2.12', 'a range ends inside of a page', 'EINVAL', { ranges: [[0n, 0x1800n]] }],
  ['2.2.12', 'the lengths wrap', 'EINVAL', { ranges: [PAGE, [0x1000n, 2n ** 64n - 0x1000n]] }],
  ['2.2.13', 'the size has bit 63', 'EINVAL', { ranges: [[0n, 2n ** 63n]] }],
  ['2.2.14', 'the buffer finds no memory', 'ENOMEM', { fault: 'vfio_pci_core_feature_dma_buf' }],
  ['2.2.15', 'the BAR is an I/O BAR', 'EINVAL', { region: 3 }],
  ['2.2.16', 'a range wraps', 'EOVERFLOW', { ranges: [[2n ** 64n - 0x1000n, 0x1000n]] }],
  ['2.2.17', 'a range ends behind the BAR', 'EINVAL', { ranges: [[0x3f_f000n, 0x2000n]] }],
  ['2.2.17', 'the BAR is smaller than a page', 'EINVAL', { region: 0 }],
  ['2.2.19', 'the dma-buf finds no memory', 'ENOMEM', { fault: 'dma_buf_export' }],
  ['2.2.20', 'no descriptor is free', 'EMFILE', { fault: 'get_unused_fd' }],
];

/** Both at once, as far as the earlier leaves the later as it is. */
const PAIRS = CHECKS.flatMap(([row, what, answer, wrong], i) =>
  CHECKS.slice(i + 1)
    .filter(([, , , rest]) => Object.keys(rest).every((field) => !(field in wrong)))
    .map(([later, also, , rest]) => [row, what, later, also, answer, { ...rest, ...wrong }] as const),
);

/** What an ioctl answers; nothing of a failed one, or of one that only asks, is left. */
function answerTo(request: Request): Errno | 'a descriptor' | number {
  const rig = new RawRig();
  const device = rig.machine.devices.get('dev0') as VfioPciDevice;
  // What the driver found when it was bound to the function, and what it has claimed since.
  for (const [bar, resource] of MORE) (device.pci.bars as Map<number, BarResource>).set(bar, resource);
  rig.process.call(() => probeAgain(device));
  Object.assign(device, { exportsDmabufs: request.exports });
  rig.must({ do: 'vfio_close', dev: 'dev0' }, { do: 'vfio_open', dev: 'dev0' });
  if (request.bound) rig.must({ do: 'vfio_bind', dev: 'dev0', ctx: 'ctx' });
  if (request.asleep && request.bound) rig.must({ do: 'vfio_low_power_entry', dev: 'dev0' });
  const before = [rig.machine.fds.size, device.dmabufs.length, device.registration.count];
  if (request.fault !== undefined) rig.machine.kernel.faults.arm(1, request.fault);
  const answer = ioctl(rig, request);
  rig.machine.kernel.faults.disarm();
  if (typeof answer === 'number' && answer > 0) return 'a descriptor';
  expect([rig.machine.fds.size, device.dmabufs.length, device.registration.count]).toEqual(before);
  return answer;
}

/** The providers of BARs that have come since. */
function* probeAgain({ pci }: VfioPciDevice): Thread {
  pci.p2pdma = undefined;
  pcimP2pdmaInit(pci);
}

function ioctl(rig: RawRig, { feature, flags, argsz, readable, count, rangeFlags, region, ranges }: Request) {
  const data = new Uint8Array(FIXED + 16 * ranges.length);
  const nr_ranges = count ?? ranges.length;
  encode(vfio.FEATURE_DATA_DMA_BUF, { region_index: region, flags: rangeFlags, nr_ranges }, data);
  for (const [i, [offset, length]] of ranges.entries()) {
    encode(vfio.REGION_DMA_RANGE, { offset: n(offset), length: n(length) }, data.subarray(FIXED + 16 * i));
  }
  const how = {
    fd: rig.fd('dev0'),
    size: argsz ?? HEADER + data.length,
    tail: [...data],
    ...(readable !== undefined && { bytes: readable }),
  };
  return rig.raw(vfio.VFIO_DEVICE_FEATURE, vfio.DEVICE_FEATURE, { flags: feature | flags }, how).answer;
}

describe('an export', () => {
  test('of which all is right is a descriptor', () => {
    expect(answerTo(right())).toBe('a descriptor');
  });

  test.each(CHECKS)('(%s) when %s, answers %s, and leaves nothing', (_row, _what, answer, wrong) => {
    expect(answerTo({ ...right(), ...wrong })).toBe(answer);
  });

  test.each(PAIRS)('(%s before) when %s, and (%s) %s too, answers the first: %s', (...row) => {
    const [, , , , answer, wrong] = row;
    expect(answerTo({ ...right(), ...wrong })).toBe(answer);
  });
});
