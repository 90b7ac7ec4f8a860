/**
 * IOMMU_IOAS_ALLOW_IOVAS: its checks, what it replaces, and what it keeps others from.
 *
 * Source: iommufd 2.4, 2.8, 2.11, I-41, I-46, I-48
 */
import { describe, expect, test } from 'vitest';
import { ioasAllowIovas } from '../../impl/iommufd/allow-iovas.ts';
import { toBigint } from '../../impl/kernel/units.ts';
import type { Errno, Result } from '../../trace/answer.ts';
import type { Command, Interval } from '../../trace/command.ts';
import { A, at, attached, CONFIG, MOCK, mapFileOf, OK, Rig, removed, U64_MAX } from './iommufd-rig.ts';

const allow = (...ranges: Interval[]): Command => ({ do: 'ioas_allow_iovas', ioas: 'ioas', ranges });
const other: Command = { do: 'ioas_alloc', ctx: 'ctx', as: 'other' };
const attach: Command = { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' };
const OLD: Interval = [0x4000_0000n, 0x4fff_ffffn];
const MSI: Interval = [0xfee0_0000n, 0xfeef_ffffn];

/** What is allowed now. */
const allowed = (rig: Rig, ioas = 'ioas'): Interval[] =>
  rig
    .ioas(ioas)
    .iopt.allowed.all()
    .map(({ start, last }) => [toBigint(start), toBigint(last)]);

const anywhere = (rig: Rig, length = 0x1000n): Result => {
  const { iova: _, ...command } = mapFileOf();
  return rig.do({ ...command, length });
};

describe('ALLOW_IOVAS is', () => {
  test.each<[answer: Errno, why: string, ranges: Interval[]]>([
    ['EINVAL', 'a range that ends before it begins', [[0x2000n, 0x1fffn]]],
    ['EINVAL', 'a range of one byte', [[0x2000n, 0x2000n]]],
    ['EINVAL', 'the last byte alone', [[U64_MAX, U64_MAX]]],
    [
      'EINVAL',
      'ranges that share a byte',
      [
        [0x2000n, 0x3000n],
        [0x3000n, 0x4000n],
      ],
    ],
    [
      'EINVAL',
      'a range inside an earlier one',
      [
        [0x2000n, 0x5000n],
        [0x3000n, 0x4000n],
      ],
    ],
    ['EINVAL', 'a bad range behind one that is reserved', [MSI, [5n, 5n]]],
    ['EADDRINUSE', 'a range that is reserved', [MSI]],
    ['EADDRINUSE', 'a range with the first reserved byte at its end', [[0x1000n, MSI[0]]]],
    ['EADDRINUSE', 'a range with the last reserved byte at its start', [[MSI[1], MSI[1] + 1n]]],
    ['EADDRINUSE', 'a range around what is reserved', [[0n, 0xffff_ffffn]]],
    ['EADDRINUSE', 'a good range and one beyond the aperture', [OLD, [0x1_0000_0000_0000n, U64_MAX]]],
  ])('%s for %s, and then the old set stays', (answer, _, ranges) => {
    const rig = attached([allow(OLD)]);
    expect(rig.do(allow(...ranges))).toEqual({ err: answer });
    expect(allowed(rig)).toEqual([OLD]);
    expect(anywhere(rig)).toEqual(at(OLD[0]));
    rig.expectAtRest();
  });

  test.each<[what: string, ranges: Interval[]]>([
    ['nothing', []],
    ['two bytes', [[7n, 8n]]],
    ['everything that is not reserved', [[0n, MSI[0] - 1n]]],
    [
      'ranges that touch, in any order',
      [
        [0x3000n, 0x3fffn],
        [0x2000n, 0x2fffn],
      ],
    ],
  ])('ok for %s, and replaces the whole set', (_, ranges) => {
    const rig = attached([allow(OLD)]);
    expect(rig.do(allow(...ranges))).toEqual(OK);
    expect(allowed(rig)).toEqual(ranges.toSorted(([a], [b]) => (a < b ? -1 : 1)));
    rig.expectAtRest();
  });

  test('ENOENT for a page table and for an IOAS that is gone, EBADF for one of a closed iommufd', () => {
    const rig = attached([other, { do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'hwpt' }]);
    rig.must({ do: 'destroy', obj: 'other' });
    const bad: Interval[] = [[1n, 0n]]; // Looked at only later.
    const answers = ['hwpt', 'other'].map((ioas) => rig.do({ do: 'ioas_allow_iovas', ioas, ranges: bad }));
    expect(answers).toEqual([{ err: 'ENOENT' }, { err: 'ENOENT' }]);
    rig.must({ do: 'iommufd_close', ctx: 'ctx' });
    expect(rig.do(allow(OLD))).toEqual({ err: 'EBADF' });
  });

  test('EOPNOTSUPP for a reserved field that is set, before anything else', () => {
    const rig = new Rig();
    const { ctx } = rig.ioas();
    expect(rig.call(ioasAllowIovas(ctx, 999, [], 1))).toBe('EOPNOTSUPP');
    expect(rig.call(ioasAllowIovas(ctx, 999, []))).toBe('ENOENT');
  });
});

test('ALLOW_IOVAS with an allocation failing for each range in turn keeps the old set', () => {
  const rig = new Rig();
  rig.must(allow(OLD));
  const { faults } = rig.machine.kernel;
  const ranges: Interval[] = [
    [0x1000n, 0x1fffn],
    [0x3000n, 0x3fffn],
  ];
  for (const [nth, answer] of [
    [1, 'EFAULT'],
    [2, 'EFAULT'],
    [3, 'ENOMEM'],
    [4, 'EFAULT'],
    [5, 'ENOMEM'],
  ] as const) {
    faults.arm(nth);
    expect(rig.do(allow(...ranges))).toEqual({ err: answer });
    expect([faults.fired, allowed(rig)]).toEqual([true, [OLD]]);
    faults.disarm();
    rig.expectAtRest();
  }
  expect([rig.do(allow(...ranges)), allowed(rig)]).toEqual([OK, ranges]);
});

describe('with a set that is not empty', () => {
  test('automatic IOVAs of MAP, MAP_FILE and COPY come from it alone, and from everywhere once it is cleared', () => {
    const rig = new Rig();
    rig.must({ do: 'mem_alloc', as: 'm', length: 0x4000n }, allow([0x7000_0000n, 0x7000_2fffn]));
    expect(anywhere(rig)).toEqual(at(0x7000_0000n));
    expect(rig.map('m', 0x1000n)).toEqual(at(0x7000_1000n));
    expect(rig.copy(0x7000_0000n, 0x1000n)).toEqual(at(0x7000_2000n));
    expect(anywhere(rig)).toEqual({ err: 'ENOSPC' });
    rig.must(allow());
    expect(anywhere(rig)).toEqual(at(0x1000n));
    rig.expectAtRest();
  });

  test('fixed IOVAs may lie outside, and areas that are there stay where they are', () => {
    const rig = new Rig();
    expect(rig.mapFile()).toEqual(at(A));
    rig.must(allow([A + 0x1000n, A + 0x1fffn], OLD)); // In the middle of the area.
    expect(rig.mapFile({ iova: 0x9000_0000n })).toEqual(at(0x9000_0000n));
    expect(rig.unmap(0n, U64_MAX)).toEqual(removed(0x8000n));
  });

  test('IOVA_RANGES answers as before', () => {
    const rig = attached();
    const before = rig.ranges();
    rig.must(allow(OLD));
    expect(rig.ranges()).toEqual(before);
  });
});

/** Attaches and allocations that would reserve something of what is allowed; nothing of them may be left. */
test.each<[what: string, rig: () => Rig, allow: Interval, command: Command]>([
  ['the window of a device', () => new Rig(), [MSI[1], MSI[1] + 5n], attach],
  [
    'the second window of a device',
    () => new Rig({ ...CONFIG, reserved: [[0x1000n, 0x1fffn], MSI] }),
    [MSI[0] - 1n, MSI[0]],
    attach,
  ],
  ['what lies below the aperture', () => new Rig(MOCK), [A - 1n, A], attach],
  ['what lies above the aperture', () => new Rig(MOCK), [A, 0x8000_0000n], attach],
  [
    'what lies above the aperture, of a page table',
    () => new Rig(MOCK),
    [A, 0x8000_0000n],
    { do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'hwpt' },
  ],
])('%s is EADDRINUSE where it is allowed, and nothing is reserved', (_, world, interval, command) => {
  const rig = world();
  rig.must({ do: 'mem_alloc', as: 'm', length: 0x4000n }, allow(interval));
  rig.map('m', 0x4000n, { iova: A });
  const before = rig.state([]);
  expect(rig.do(command)).toEqual({ err: 'EADDRINUSE' });
  expect(rig.state([])).toEqual(before);
  expect([allowed(rig), rig.calls()]).toEqual([[interval], []]);
  rig.must(allow());
  expect(rig.do(command)).toEqual(OK);
  rig.expectAtRest();
});

test('replace is EADDRINUSE where the new IOAS allows what the device reserves, and the old attachment stays', () => {
  const rig = attached([other, mapFileOf(), { ...mapFileOf(), ioas: 'other' }]);
  rig.must({ do: 'ioas_allow_iovas', ioas: 'other', ranges: [MSI] });
  const before = rig.state(['dev0'], ['ioas', 'other']);
  expect(rig.attach('dev0', 'other')).toEqual({ err: 'EADDRINUSE' });
  expect(rig.state(['dev0'], ['ioas', 'other'])).toEqual(before);
  rig.expectAtRest();
});
