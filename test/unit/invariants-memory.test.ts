/** The invariants where the CPU maps memory, and where an IOAS has no large pages. */
import { describe, expect, test } from 'vitest';
import { type AreaSeen, invariants, type MapCall, type Observation, type UnmapCall } from '../../model/invariants.ts';

const PAGE = 0x1000n;
const IOVA = 0x100_0000n;
const slice = { memory: 'dev0:2', offset: 0x1_0000n, length: 0x4000n };
const nothing: Observation = { ptes: [], areas: [], revoked: [], cpu: [], maps: [], unmaps: [], keepsMmio: true };
const breaches = (more: Partial<Observation>): string[] =>
  invariants.flatMap(({ name, breaches }) =>
    breaches({ ...nothing, ...more }).map(
      ({ domain, iova, why }) => `${name}: ${domain} 0x${iova.toString(16)}: ${why}`,
    ),
  );

describe('what the CPU maps', () => {
  const cpu = [{ ...slice, map: 'v0', at: 0x1000n }];

  test.each([
    ['that answers', []],
    ['beside memory that was taken back', [{ ...slice, offset: 0x1_4000n }]],
    ['of another BAR than was taken back', [{ ...slice, memory: 'dev0:4' }]],
  ])('may be memory %s', (_, revoked) => {
    expect(breaches({ cpu, revoked })).toEqual([]);
  });

  test('may not be memory that was taken back', () => {
    expect(breaches({ cpu, revoked: [{ ...slice, offset: 0x1_3fffn }] })).toEqual([
      'never mapped while revoked: v0 0x1000: shows dev0:2+0x10000, but its owner has taken it back',
    ]);
  });
});

describe('without large pages', () => {
  const area: AreaSeen = { ...slice, domains: ['a'], iova: IOVA, length: 2n * PAGE, slice, page: PAGE, shot: false };
  const map = (iova: bigint, length: bigint): MapCall => ({ domain: 'a', iova, ...slice, length, mmio: true });
  const unmap = (length: bigint): UnmapCall => ({ domain: 'a', iova: IOVA, length, cleared: length });
  const wrong = (at: string, bytes: string): string[] => [
    `one MMIO range: a ${at}: a call for ${bytes} bytes, and not for the whole area of a buffer`,
  ];

  test.each<[string, Partial<Observation>, string[]]>([
    ['each page of an area in a call of its own', { maps: [map(IOVA, PAGE), map(IOVA + PAGE, PAGE)] }, []],
    ['two pages in a call', { maps: [map(IOVA, 2n * PAGE)] }, wrong('0x1000000', '0x2000')],
    ['half a page in a call', { maps: [map(IOVA, 0x800n)] }, wrong('0x1000000', '0x800')],
    ['a page that is none', { maps: [map(IOVA + 0x800n, PAGE)] }, wrong('0x1000800', '0x1000')],
  ])('an area is mapped page by page: %s', (_, more, expected) => {
    expect(breaches({ areas: [area], ...more })).toEqual(expected);
  });

  test('an area is unmapped at once all the same', () => {
    expect(breaches({ areas: [area], unmaps: [unmap(2n * PAGE)] })).toEqual([]);
    expect(breaches({ areas: [area], unmaps: [unmap(PAGE)] })).toEqual(wrong('0x1000000', '0x1000'));
  });
});
