/**
 * The IOVA space of an IOAS: what is free, what an area must be a multiple of, and what UNMAP takes away.
 *
 * Source: iommufd 2.3, 2.5, 2.13, T-27, T-28, I-40, I-42 to I-45, I-50 to I-52
 */
import { describe, expect, test } from 'vitest';
import { Area } from '../../impl/iommufd/area.ts';
import { fromBigint, ZERO } from '../../impl/kernel/units.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { A, at, attached, CONFIG, MOCK, OK, Rig, removed, U64_MAX } from './iommufd-rig.ts';

const memory: Command = { do: 'mem_alloc', as: 'm', length: 0x100000n };
const detach: Command = { do: 'vfio_detach', dev: 'dev0' };

/** First and last byte of every area. */
const areas = (rig: Rig, ioas = 'ioas'): [bigint, bigint][] =>
  rig
    .ioas(ioas)
    .iopt.areas.all()
    .map(({ iova, last }) => [
      BigInt(iova.page) * 0x1000n + BigInt(iova.byte),
      BigInt(last.page) * 0x1000n + BigInt(last.byte),
    ]);

/** Areas of a page each, at these multiples of a page above A, all of the same memory. */
function pagesAt(rig: Rig, ...places: bigint[]): void {
  for (const place of places) expect(rig.map('m', 0x1000n, { iova: A + place * 0x1000n })).toHaveProperty('ok');
}

test('I-40: an area meets no other, and nothing that is reserved, wherever it is asked for', () => {
  const rig = attached([memory]);
  const reserved = [0xfee0_0000n, 0xfeef_ffffn] as const;
  const ends = [A, A + 0x4000n, ...reserved.map((each) => each - (each % 0x1000n)), 0xffff_ffff_f000n];
  for (const end of ends) {
    for (const length of [0x1000n, 0x2000n, 0x8000n])
      for (const before of [0x4000n, 0x1000n, 0n]) rig.map('m', length, { iova: end - before });
  }
  for (let i = 0; i < 4; i++) rig.map('m', 0x1000n);
  const taken = areas(rig);
  expect(taken.length).toBeGreaterThan(10);
  for (const [i, [first, last]] of taken.entries()) {
    expect(last < reserved[0] || first > reserved[1]).toBe(true);
    expect(last).toBeLessThan(2n ** 48n);
    expect(first > (taken[i - 1]?.[1] ?? -1n)).toBe(true);
  }
});

test('I-42: the ranges change with what is reserved, and with nothing else', () => {
  const rig = new Rig();
  const seen: Result[] = [rig.ranges()];
  const changes: boolean[] = [];
  for (const command of [
    memory,
    { do: 'ioas_map', ioas: 'ioas', mem: 'm', offset: 0n, length: 0x1000n, prot: 'rw', iova: A },
    { do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'hwpt' },
    { do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'more' },
    { do: 'vfio_attach', dev: 'dev0', pt: 'hwpt' },
    { do: 'vfio_attach', dev: 'dev1', pt: 'more' },
    { do: 'ioas_copy', dst: 'ioas', src: 'ioas', src_iova: A, length: 0x1000n, prot: 'rw' },
    { do: 'ioas_unmap', ioas: 'ioas', iova: 0n, length: U64_MAX },
    detach,
    { do: 'destroy', obj: 'hwpt' },
    { do: 'vfio_detach', dev: 'dev1' },
    { do: 'destroy', obj: 'more' },
  ] satisfies Command[]) {
    rig.must(command);
    const now = rig.ranges();
    changes.push(JSON.stringify(show(now)) !== JSON.stringify(show(seen.at(-1) as Result)));
    seen.push(now);
  }
  // The first domain, the first device with its window, and the last of both.
  expect(changes.flatMap((changed, step) => (changed ? [step] : []))).toEqual([2, 4, 10, 11]);
  expect(seen.at(-1)).toEqual(seen[0]);
});

const show = (ranges: Result): unknown => ('ok' in ranges ? ranges.ok.ranges?.map(String) : ranges);

test.each<[what: string, iova: bigint, offset: bigint, length: bigint, answer: Result]>([
  ['whole pages of a domain', A + 0x800n, 0x1800n, 0x2800n, at(A + 0x800n)],
  ['an IOVA between', A + 0x400n, 0n, 0x800n, { err: 'EINVAL' }],
  ['a length between', A, 0n, 0xc00n, { err: 'EINVAL' }],
  ['an offset between', A, 0x400n, 0x800n, { err: 'EINVAL' }],
])('I-43: in an IOAS with a domain of half pages, %s may be mapped, or not', (_, iova, offset, length, answer) => {
  const rig = attached([memory], '7.2', MOCK);
  expect(rig.map('m', length, { iova, offset })).toEqual(answer);
  expect(rig.copy(iova, length, { dst_iova: A + 0x10_0000n })).toHaveProperty('ok' in answer ? 'ok' : 'err');
});

test('I-43: an offset between is EINVAL even where no domain would refuse it', () => {
  const rig = new Rig();
  rig.must(memory);
  rig.ioas().iopt.alignment = 0x1000;
  expect(rig.map('m', 0x1000n, { iova: A, offset: 0x800n })).toEqual({ err: 'EINVAL' });
  expect(rig.map('m', 0x1000n, { iova: A, offset: 0x1000n })).toEqual(at(A));
});

describe('I-45: an alignment that an area does not satisfy', () => {
  const ragged = (rig: Rig): void => {
    const { iopt } = rig.ioas();
    iopt.areas.insert(new Area(iopt, fromBigint(A + 1n), fromBigint(A + 5n), 1, ZERO));
  };

  test('is refused even by an area in set-up, and stays what it was', () => {
    const rig = new Rig(MOCK);
    ragged(rig);
    expect([rig.attach(), rig.hwpt('hwpt')]).toEqual([{ err: 'EADDRINUSE' }, { err: 'EADDRINUSE' }]);
    expect(rig.ranges()).toEqual({ ok: { ranges: [[0n, U64_MAX]], alignment: 1n } });
  });

  test('is not asked again of areas, when a second domain has no larger pages', () => {
    const rig = attached([memory], '7.2', MOCK);
    pagesAt(rig, 0n);
    expect(rig.hwpt('hwpt')).toEqual(OK);
    expect(rig.ranges()).toMatchObject({ ok: { alignment: 0x800n } });
    // I-44: it is that of the domains that are left.
    rig.must(detach);
    expect(rig.ranges()).toMatchObject({ ok: { alignment: 0x800n } });
    rig.must({ do: 'destroy', obj: 'hwpt' });
    expect(rig.ranges()).toMatchObject({ ok: { alignment: 1n } });
  });

  test('I-44: is that of a page without large pages, domains or not', () => {
    const rig = new Rig(MOCK);
    const { iopt } = rig.ioas();
    iopt.disableLargePages = true;
    rig.must({ do: 'vfio_attach', dev: 'dev0', pt: 'ioas' });
    rig.must(detach);
    expect(rig.ranges()).toMatchObject({ ok: { alignment: 0x1000n } });
  });
});

describe('UNMAP', () => {
  /** T-28: four areas of 8 pages, 16 pages apart; `last` is the last byte of the last. */
  function four(): Rig {
    const rig = attached([memory]);
    for (let i = 0n; i < 4n; i++) rig.map('m', 0x8000n, { iova: A + i * 0x10000n });
    rig.calls();
    return rig;
  }

  test('T-28, I-50: takes whole areas of any number, counts their bytes and no gaps, and leaves none behind', () => {
    const rig = four();
    expect(rig.unmap(A - 0x4000n, 0x3c000n)).toEqual(removed(0x20000n));
    expect([areas(rig), rig.pinned(), rig.reach('dev0')]).toEqual([[], {}, []]);
    const some = four();
    expect(some.unmap(A + 0x8000n, 0x20000n)).toEqual(removed(0x10000n));
    expect(areas(some).map(([first]) => first)).toEqual([A, A + 0x30000n]);
    expect(some.pinned()).toEqual({ m: 16 });
  });

  test.each<[what: string, from: bigint, length: bigint, gone: number]>([
    ['the lowest sticks out below', 0x1n, 0x40000n, 0],
    ['the lowest sticks out on both sides', 0x1000n, 0x1000n, 0],
    ['the only one sticks out above', 0n, 0x7fffn, 0],
    ['the second sticks out by its last byte', 0n, 0x17fffn, 1],
    ['the last sticks out', -0x4000n, 0x3b000n, 3],
  ])('I-51: is ENOENT, when %s, and exactly the whole areas before it are gone', (_, from, length, gone) => {
    const rig = four();
    const before = areas(rig);
    expect(rig.unmap(A + from, length)).toEqual({ err: 'ENOENT' });
    expect(areas(rig)).toEqual(before.slice(gone));
    expect(rig.calls()).toEqual(before.slice(0, gone).map(([first]) => `unmap ioas 0x${first.toString(16)} 0x8000`));
    expect(rig.pinned()).toEqual({ m: 32 - 8 * gone });
    rig.expectAtRest();
    expect(rig.unmap(0n, U64_MAX)).toEqual(removed(BigInt(4 - gone) * 0x8000n));
  });

  test('I-51: is EBUSY at an area in set-up, and what lies below it is gone', () => {
    const rig = four();
    const { iopt } = rig.ioas();
    const setUp = new Area(iopt, fromBigint(A + 0x18000n), fromBigint(A + 0x18fffn), 1, ZERO);
    iopt.areas.insert(setUp);
    expect(rig.unmap(0n, U64_MAX)).toEqual({ err: 'EBUSY' });
    expect(areas(rig).map(([first]) => first)).toEqual([A + 0x18000n, A + 0x20000n, A + 0x30000n]);
    iopt.areas.remove(setUp);
  });

  test('T-27, I-52: of everything succeeds with nothing there, of any other empty range is ENOENT', () => {
    const rig = new Rig();
    expect(rig.unmap(0n, U64_MAX)).toEqual(removed(0n));
    for (const [iova, length] of [
      [0n, U64_MAX - 1n],
      [0n, 1n],
      [1n, U64_MAX - 1n],
      [A, 0x1000n],
    ] as const) {
      expect(rig.unmap(iova, length)).toEqual({ err: 'ENOENT' });
    }
  });

  test('T-27: neither half of an area is unmapped, and nothing is mapped that meets it', () => {
    const rig = new Rig(CONFIG);
    rig.must(memory);
    rig.map('m', 0x2000n, { iova: A + 0x10000n });
    expect([rig.unmap(A + 0x10000n, 0x1000n), rig.unmap(A + 0x11000n, 0x1000n)]).toEqual([
      { err: 'ENOENT' },
      { err: 'ENOENT' },
    ]);
    const answers = [
      [2n, 16n],
      [1n, 16n],
      [1n, 17n],
      [2n, 15n],
      [3n, 15n],
    ].map(([pages, place]) => rig.map('m', (pages as bigint) * 0x1000n, { iova: A + (place as bigint) * 0x1000n }));
    expect(answers).toEqual(answers.map(() => ({ err: 'EEXIST' })));
  });
});
