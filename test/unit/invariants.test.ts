import { describe, expect, test } from 'vitest';
import {
  type AreaSeen,
  type Invariant,
  invariants,
  type MapCall,
  neverMappedWhileRevoked,
  noDoubleUnmap,
  type Observation,
  oneMmioRange,
  type Pte,
  subPageOffsets,
  type UnmapCall,
} from '../../model/invariants.ts';

const IOVA = 0x100_0000n;
const slice = { memory: 'dev0:2', offset: 0x1_0000n, length: 0x4000n };

const area = (more: Partial<AreaSeen> = {}): AreaSeen => {
  const { memory, offset } = slice;
  return { domains: ['a'], iova: IOVA, length: 0x2000n, memory, offset, slice, shot: false, ...more };
};
/** Without a slice: user memory. */
const user = (more: Partial<AreaSeen> = {}): AreaSeen => {
  return { domains: ['a'], iova: IOVA, length: 0x2000n, memory: 'm0', offset: 0n, shot: false, ...more };
};
const pte = (more: Partial<Pte> = {}): Pte => {
  const { memory, offset } = slice;
  return { domain: 'a', iova: IOVA, length: 0x2000n, memory, offset, prot: 'rw', mmio: true, cache: false, ...more };
};
const cpu = { memory: 'm0', offset: 0n, mmio: false, cache: true };
const map = (more: Partial<MapCall> = {}): MapCall => {
  return { domain: 'a', iova: IOVA, length: 0x2000n, memory: slice.memory, offset: slice.offset, mmio: true, ...more };
};
const unmap = (more: Partial<UnmapCall> = {}): UnmapCall => {
  return { domain: 'a', iova: IOVA, length: 0x2000n, cleared: 0x2000n, ...more };
};
const seen = (more: Partial<Observation>): Observation => {
  return { ptes: [], areas: [], revoked: [], cpu: [], maps: [], unmaps: [], keepsMmio: true, ...more };
};
const whys = (invariant: Invariant, more: Partial<Observation>): string[] =>
  invariant.breaches(seen(more)).map(({ domain, iova, why }) => `${domain} 0x${iova.toString(16)}: ${why}`);

test('the invariants are these four', () => {
  expect(invariants.map(({ name }) => name)).toEqual([
    'never mapped while revoked',
    'no double unmap',
    'one MMIO range',
    'sub-page offsets correct',
  ]);
});

test.each<[string, Partial<Observation>]>([
  ['nothing', {}],
  ['a mapped buffer', { areas: [area()], ptes: [pte()], maps: [map()] }],
  ['user memory', { areas: [user()], ptes: [pte(cpu)], maps: [map({ ...cpu, length: 0x1000n })] }],
  ['an area that was shot', { areas: [area({ shot: true })], unmaps: [unmap()], revoked: [slice] }],
  ['an area in no domain', { areas: [area({ domains: [] })] }],
  [
    'two neighbours in one PTE',
    {
      areas: [area(), area({ iova: IOVA + 0x2000n, offset: 0x1_2000n })],
      ptes: [pte({ length: 0x4000n })],
    },
  ],
  [
    'two neighbours in one PTE, and another area behind a gap',
    {
      areas: [
        area(),
        area({ iova: IOVA + 0x2000n, offset: 0x1_2000n }),
        area({ iova: IOVA + 0x8000n, offset: 0x1_2000n }),
      ],
      ptes: [pte({ length: 0x4000n })],
    },
  ],
  [
    'a part of an area',
    {
      areas: [area({ iova: IOVA + 0x1000n, length: 0x800n, offset: 0x1_1000n })],
      ptes: [pte({ iova: IOVA + 0x1000n, length: 0x800n, offset: 0x1_1000n })],
    },
  ],
  [
    'a revoke of the memory next to it',
    {
      areas: [area()],
      ptes: [pte()],
      revoked: [
        { ...slice, offset: 0x1_2000n },
        { ...slice, memory: 'dev1:2' },
      ],
    },
  ],
  [
    'the same calls in two domains',
    { areas: [area({ domains: ['a', 'b'], shot: true })], unmaps: [unmap(), unmap({ domain: 'b' })] },
  ],
  ['an unmap, a map and an unmap', { areas: [area({ shot: true })], maps: [map()], unmaps: [unmap(), unmap()] }],
  [
    'a copy as 7.2 maps it',
    {
      keepsMmio: false,
      areas: [area()],
      ptes: [pte({ mmio: false, cache: true })],
      maps: [map({ length: 0x1000n, mmio: false })],
    },
  ],
])('all four accept %s', (_, more) => {
  expect(invariants.flatMap((invariant) => whys(invariant, more))).toEqual([]);
});

describe('never mapped while revoked', () => {
  test.each<[string, Partial<Observation>, string[]]>([
    [
      'a PTE into memory that was taken back',
      { areas: [area()], ptes: [pte()], revoked: [{ ...slice, offset: 0x1_1fffn }] },
      ['a 0x1000000: dev0:2+0x10000 is mapped, but its owner has taken it back'],
    ],
    [
      'a PTE in an area that was shot',
      { areas: [area({ shot: true })], ptes: [pte({ iova: IOVA - 0x1000n, offset: 0xf000n })] },
      ['a 0x1000000: dev0:2+0x10000 is mapped, but a revoke has shot its area'],
    ],
  ])('rejects %s', (_, more, expected) => {
    expect(whys(neverMappedWhileRevoked, more)).toEqual(expected);
  });

  test('does not mind another domain at the same IOVA', () => {
    const areas = [area({ shot: true })];
    expect(whys(neverMappedWhileRevoked, { areas, ptes: [pte({ domain: 'b' })] })).toEqual([]);
  });
});

describe('no double unmap', () => {
  test.each<[string, Partial<Observation>, string[]]>([
    [
      'an unmap that finds less than it asks for',
      { unmaps: [unmap({ cleared: 0x1000n })] },
      ['a 0x1000000: 0x1000 of 0x2000 bytes were there to be unmapped'],
    ],
    [
      'a byte unmapped twice',
      { unmaps: [unmap(), unmap({ domain: 'b' }), unmap({ iova: IOVA + 0x1000n })] },
      ['a 0x1001000: was unmapped in this step already, and not mapped since'],
    ],
    [
      'a byte unmapped twice, with another one mapped',
      { unmaps: [unmap(), unmap()], maps: [map({ iova: IOVA + 0x2000n }), map({ domain: 'b' })] },
      ['a 0x1000000: was unmapped in this step already, and not mapped since'],
    ],
  ])('rejects %s', (_, more, expected) => {
    expect(whys(noDoubleUnmap, more)).toEqual(expected);
  });
});

describe('one MMIO range', () => {
  test.each<[string, Partial<Observation>, string[]]>([
    [
      'a PTE that goes on behind the buffer',
      { areas: [area({ length: 0x5000n })], ptes: [pte({ length: 0x5000n })] },
      ['a 0x1000000: dev0:2+0x10000 and on, 0x5000 bytes, is not within the buffer at dev0:2+0x10000'],
    ],
    [
      'a PTE into another BAR',
      { areas: [area()], ptes: [pte({ memory: 'dev1:2' })] },
      ['a 0x1000000: dev1:2+0x10000 and on, 0x2000 bytes, is not within the buffer at dev0:2+0x10000'],
    ],
    [
      'device memory without the MMIO attribute',
      { areas: [area()], ptes: [pte({ mmio: false })] },
      ['a 0x1000000: dev0:2+0x10000 is device memory, but not mapped as such'],
    ],
    [
      'device memory that is cached',
      { areas: [area()], ptes: [pte({ cache: true })] },
      ['a 0x1000000: dev0:2+0x10000 is device memory, but not mapped as such'],
    ],
    [
      'user memory with the MMIO attribute',
      { areas: [user()], ptes: [pte({ ...cpu, mmio: true })] },
      ['a 0x1000000: m0+0x0 is CPU memory, but not mapped as such'],
    ],
    [
      'user memory that is not cached',
      { areas: [user()], ptes: [pte({ ...cpu, cache: false })] },
      ['a 0x1000000: m0+0x0 is CPU memory, but not mapped as such'],
    ],
    [
      'an area mapped in two calls',
      { areas: [area()], maps: [map({ length: 0x1000n }), map({ iova: IOVA + 0x1000n, length: 0x1000n })] },
      [
        'a 0x1000000: a call for 0x1000 bytes, and not for the whole area of a buffer',
        'a 0x1001000: a call for 0x1000 bytes, and not for the whole area of a buffer',
      ],
    ],
    [
      'an area unmapped together with its neighbour',
      { areas: [area({ shot: true })], unmaps: [unmap({ length: 0x3000n })] },
      ['a 0x1000000: a call for 0x3000 bytes, and not for the whole area of a buffer'],
    ],
  ])('rejects %s', (_, more, expected) => {
    expect(whys(oneMmioRange, more)).toEqual(expected);
  });

  test('holds before 7.3, too, except for the attribute and the number of calls', () => {
    const more = { keepsMmio: false, areas: [area()], ptes: [pte({ memory: 'dev1:2', mmio: false })] };
    expect(whys(oneMmioRange, more)).toHaveLength(1);
  });
});

describe('sub-page offsets correct', () => {
  test.each<[string, Partial<Observation>, string[]]>([
    [
      'a PTE half a page off',
      { areas: [area()], ptes: [pte({ offset: 0x1_0800n })] },
      ['a 0x1000000: reaches dev0:2+0x10800, not dev0:2+0x10000'],
    ],
    [
      'a PTE into other memory',
      { areas: [user()], ptes: [pte({ ...cpu, memory: 'm1' })] },
      ['a 0x1000000: reaches m1+0x0, not m0+0x0'],
    ],
    [
      'a PTE that begins before its area',
      { areas: [area({ offset: 0x1_0800n })], ptes: [pte({ iova: IOVA - 0x800n, length: 0x2800n })] },
      ['a 0xfff800: is translated, but no area is there'],
    ],
    [
      'a PTE that ends behind its area',
      { areas: [area()], ptes: [pte({ length: 0x2001n })] },
      ['a 0x1002000: is translated, but no area is there'],
    ],
    [
      'a PTE where only another domain has an area',
      { areas: [area({ domains: ['b'] })], ptes: [pte()] },
      ['a 0x1000000: is translated, but no area is there'],
    ],
  ])('rejects %s', (_, more, expected) => {
    expect(whys(subPageOffsets, more)).toEqual(expected);
  });
});
