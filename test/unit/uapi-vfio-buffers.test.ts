/**
 * The two features of the unmerged series by their bytes: what is looked at, in which order, and that nothing changes
 * for a call that is refused.
 *
 * Source: vfio-dmabuf 2.1, 6.7, 6.8, 10.2, 10.3
 */
import { describe, expect, test } from 'vitest';
import { O_RDONLY, O_RDWR, O_WRONLY } from '../../impl/dmabuf/dma-buf.ts';
import { encode } from '../../impl/uapi/layout.ts';
import * as vfio from '../../impl/uapi/vfio-structs.ts';
import type { VfioPciDevice } from '../../impl/vfio/pci-device.ts';
import { type How, n, RawRig } from './raw-rig.ts';

const { DEVICE_FEATURE, FEATURE_GET, FEATURE_SET, FEATURE_PROBE } = vfio;
const REVOKE = vfio.FEATURE_DMA_BUF_REVOKE;
const MEMATTR = vfio.FEATURE_DMA_BUF_MEMATTR;

class V4 extends RawRig {
  constructor(kernel = 'v4') {
    super(undefined, kernel);
    // Something that is no buffer, a buffer of another exporter, and one of another device.
    this.must(
      { do: 'memfd_create', as: 'f', length: 0x1000n },
      { do: 'mock_dmabuf', as: 'test', length: 0x1000n },
      { do: 'vfio_export', dev: 'dev1', region: 2, ranges: [[0n, 0x1000n]], as: 'theirs' },
    );
  }

  get device(): VfioPciDevice {
    return this.machine.devices.get('dev0') as VfioPciDevice;
  }

  feature(flags: number, words: readonly number[], how: How = {}): unknown {
    const tail = [...new Uint8Array(Int32Array.from(words).buffer)];
    const all = { size: 8 + tail.length, tail, ...how, fd: this.fd('dev0') };
    return this.raw(vfio.VFIO_DEVICE_FEATURE, DEVICE_FEATURE, { flags }, all).answer;
  }

  /** What either feature could change. */
  get buffers(): unknown[] {
    return this.device.dmabufs.map(({ status, memattr, dmabuf }) => [status, memattr, dmabuf.file.refs.count]);
  }
}

/** `fd` by name, or a number. */
const fdOf = (rig: V4, fd: string | number): number => (typeof fd === 'number' ? fd : rig.fd(fd));

const refused: readonly (readonly [what: string, flags: number, fd: string | number, how: How, answer: string])[] = [
  ['got', FEATURE_GET, 'buf', {}, 'EINVAL'],
  ['asked for, to be got', FEATURE_GET | FEATURE_PROBE, 'buf', {}, 'EINVAL'],
  ['neither got nor set', 0, 'buf', {}, 'EINVAL'],
  ['without data', FEATURE_SET, 'buf', { size: 8 }, 'EINVAL'],
  ['with data that are not there', FEATURE_SET, 'buf', { bytes: 8 }, 'EFAULT'],
  ['of a descriptor that is not open', FEATURE_SET, 99, {}, 'EBADF'],
  ['of a negative descriptor', FEATURE_SET, -1, {}, 'EBADF'],
  ['of a memfd', FEATURE_SET, 'f', {}, 'EINVAL'],
  ['of the device itself', FEATURE_SET, 'dev0', {}, 'EINVAL'],
  ["of another exporter's buffer", FEATURE_SET, 'test', {}, 'ENODEV'],
  ["of another device's buffer", FEATURE_SET, 'theirs', {}, 'ENODEV'],
];

describe.each([
  ['REVOKE', REVOKE, []],
  ['MEMATTR', MEMATTR, [1]],
])('DMA_BUF_%s', (_, number, more) => {
  test.each(refused)('%s is refused, and changes nothing', (_, flags, fd, how, answer) => {
    const rig = new V4();
    const before = rig.buffers;
    expect(rig.feature(number | flags, [fdOf(rig, fd), ...more], how)).toBe(answer);
    expect(rig.buffers).toEqual(before);
    rig.expectAtRest();
  });

  test('a probe is answered without data, and changes nothing', () => {
    const rig = new V4();
    const before = rig.buffers;
    const probe = (flags: number) => rig.feature(number | FEATURE_PROBE | flags, [], { bytes: 8, size: 8 });
    expect([probe(0), probe(FEATURE_SET), rig.buffers]).toEqual([0, 0, before]);
  });

  test.each(['7.2', '7.3'])('is ENOTTY on %s, even a probe', (kernel) => {
    const rig = new V4(kernel);
    expect(rig.feature(number | FEATURE_PROBE, [])).toBe('ENOTTY');
    expect(rig.feature(number | FEATURE_SET, [rig.fd('buf'), ...more])).toBe('ENOTTY');
  });

  test('is EOPNOTSUPP of a driver that exports nothing, even a probe, but not with bad flags', () => {
    const rig = new V4();
    Object.assign(rig.device, { exportsDmabufs: false });
    const answers = [FEATURE_SET, FEATURE_PROBE, FEATURE_GET, 0, 1 << 19].map((flags) =>
      rig.feature(number | flags, [rig.fd('buf'), ...more]),
    );
    expect(answers).toEqual(['EOPNOTSUPP', 'EOPNOTSUPP', 'EOPNOTSUPP', 'EOPNOTSUPP', 'EINVAL']);
    expect(rig.feature(vfio.FEATURE_DMA_BUF | FEATURE_PROBE, [])).toBe('EOPNOTSUPP');
  });

  test('works with more data than it knows', () => {
    const rig = new V4();
    expect(rig.feature(number | FEATURE_SET, [rig.fd('buf'), 1, 2, 3])).toBe(0);
  });
});

test('DMA_BUF_REVOKE revokes for good, and says so when it is asked again', () => {
  const rig = new V4();
  const revoke = () => rig.feature(REVOKE | FEATURE_SET, [rig.fd('buf')]);
  expect([revoke(), rig.buffers[0], revoke()]).toEqual([0, ['PERM_REVOKED', 'NC', 1], 'EBADFD']);
});

test.each([
  [0, 0, 'NC'],
  [1, 0, 'WC'],
  [2, 'ENOENT', 'NC'],
  [-1, 'ENOENT', 'NC'],
])('DMA_BUF_MEMATTR %d answers %s and leaves %s', (attr, answer, left) => {
  const rig = new V4();
  expect([rig.feature(MEMATTR | FEATURE_SET, [rig.fd('buf'), attr]), rig.buffers[0]]).toEqual([
    answer,
    ['OK', left, 1],
  ]);
});

test('DMA_BUF_MEMATTR asks whose the buffer is before it looks at the attribute, and after how much is there', () => {
  const rig = new V4();
  const set = MEMATTR | FEATURE_SET;
  expect([rig.feature(set, [rig.fd('theirs'), 9]), rig.feature(set, [99])]).toEqual(['ENODEV', 'EINVAL']);
});

test('DMA_BUF_MEMATTR is taken in every status', () => {
  const rig = new V4();
  const set = (attr: number) => rig.feature(MEMATTR | FEATURE_SET, [rig.fd('buf'), attr]);
  rig.must({ do: 'vfio_memory', dev: 'dev0', enable: false });
  expect([set(1), rig.buffers[0]]).toEqual([0, ['TEMP_REVOKED', 'WC', 1]]);
  rig.must({ do: 'vfio_dmabuf_revoke', dev: 'dev0', fd: 'buf' });
  expect([set(0), rig.buffers[0]]).toEqual([0, ['PERM_REVOKED', 'NC', 1]]);
});

test.each([
  ['O_RDONLY', O_RDONLY, true, false],
  ['O_WRONLY', O_WRONLY, false, true],
  ['O_RDWR', O_RDWR, true, true],
  ['neither', 3, false, false],
  ['O_RDWR and bits that nobody knows', 0x80802, true, true],
  ['O_RDONLY and all other bits', 2 ** 32 - 4, true, false],
])('an export with %s is a file of that mode', (_, openFlags, readable, writable) => {
  const rig = new V4();
  const data = new Uint8Array(32);
  encode(vfio.FEATURE_DATA_DMA_BUF, { region_index: 2, nr_ranges: 1, open_flags: openFlags }, data);
  encode(vfio.REGION_DMA_RANGE, { offset: n(0n), length: n(0x1000n) }, data.subarray(16));
  const how = { fd: rig.fd('dev0'), size: 40, tail: [...data] };
  rig.raw(vfio.VFIO_DEVICE_FEATURE, DEVICE_FEATURE, { flags: vfio.FEATURE_DMA_BUF | FEATURE_GET }, how);
  expect(rig.device.dmabufs.at(-1)?.dmabuf.file.mode).toEqual({ readable, writable });
});
