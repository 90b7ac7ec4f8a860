/**
 * V9: what a buffer's second domain, or a copy of it, is filled from. 7.2 reads the pages back from a domain that has
 * them, as if they were RAM; 7.3 asks the buffer. Addresses are the same, attributes and calls are not.
 *
 * Source: iommufd 0.1, 3.4, I-21 to I-23
 */
import { describe, expect, test } from 'vitest';
import { A, at, attached, mapFileOf, OK, type Rig } from './iommufd-rig.ts';

const COPY_AT = 0x200_0000n;

/**
 * `second` shows pages 0 to 3 of the buffer and has no domain. The IOAS of dev0 has a copy of pages 1 and 2, so those
 * are in a domain, and page 0 and 3 are not.
 */
function partlyInDomain(kernel: string): Rig {
  const rig = attached([{ do: 'ioas_alloc', ctx: 'ctx', as: 'second' }], kernel);
  rig.mapFile({ ioas: 'second' });
  rig.copy(A + 0x1000n, 0x2000n, { src: 'second', dst_iova: COPY_AT });
  rig.calls();
  return rig;
}

const CASES = [
  {
    what: 'a second domain',
    world: (kernel: string) => attached([mapFileOf()], kernel),
    act: (rig: Rig) => rig.hwpt('hwpt'),
    answer: OK,
    before: ['map hwpt 0x1000000 -> dev0:2+0x0 0x4000 RW+CACHE'],
    since: ['map hwpt 0x1000000 -> dev0:2+0x0 0x4000 RW+MMIO'],
  },
  {
    what: 'a copy of a mapped buffer',
    world: (kernel: string) => attached([mapFileOf()], kernel),
    act: (rig: Rig) => rig.copy(A + 0x1000n, 0x2000n, { dst_iova: COPY_AT }),
    answer: at(COPY_AT),
    before: ['map ioas 0x2000000 -> dev0:2+0x1000 0x2000 RW+CACHE'],
    since: ['map ioas 0x2000000 -> dev0:2+0x1000 0x2000 RW+MMIO'],
  },
  {
    what: 'a domain for a buffer of which the middle is in another',
    world: partlyInDomain,
    act: (rig: Rig) => rig.hwpt('hwpt', 'second'),
    answer: OK,
    before: [
      'map hwpt 0x1000000 -> dev0:2+0x0 0x1000 RW+MMIO',
      'map hwpt 0x1001000 -> dev0:2+0x1000 0x2000 RW+CACHE',
      'map hwpt 0x1003000 -> dev0:2+0x3000 0x1000 RW+MMIO',
    ],
    since: ['map hwpt 0x1000000 -> dev0:2+0x0 0x4000 RW+MMIO'],
  },
  {
    what: 'a copy of a buffer of which the end is not in a domain',
    world: partlyInDomain,
    act: (rig: Rig) => rig.copy(A + 0x2000n, 0x2000n, { src: 'second', dst_iova: 0x300_0000n }),
    answer: at(0x300_0000n),
    before: [
      'map ioas 0x3000000 -> dev0:2+0x2000 0x1000 RW+CACHE',
      'map ioas 0x3001000 -> dev0:2+0x3000 0x1000 RW+MMIO',
    ],
    since: ['map ioas 0x3000000 -> dev0:2+0x2000 0x2000 RW+MMIO'],
  },
];

describe.each(CASES.map((each) => [each.what, each] as const))('%s', (_, { world, act, answer, before, since }) => {
  test('7.2: loses MMIO for what is in a domain already, and has a call for each stretch', () => {
    const rig = world('7.2.13');
    expect(act(rig)).toEqual(answer);
    expect(rig.calls()).toEqual(before);
  });

  test('7.3: keeps MMIO, in one call', () => {
    const rig = world('7.3.4');
    expect(act(rig)).toEqual(answer);
    expect(rig.calls()).toEqual(since);
  });
});

test.each(['7.2', '7.3'])(
  'the first domain of a buffer has MMIO and never CACHE, memory the reverse, on %s',
  (kernel) => {
    const rig = attached([{ do: 'mem_alloc', as: 'm', length: 0x1000n }], kernel);
    rig.mapFile({ prot: 'r' });
    rig.map('m', 0x1000n, { iova: 0n, prot: 'w' });
    expect(rig.calls()).toEqual([
      'map ioas 0x1000000 -> dev0:2+0x0 0x4000 R+MMIO',
      'map ioas 0x0 -> m+0x0 0x1000 W+CACHE',
    ]);
  },
);

test.each(['7.2', '7.3'])('a mapping in stretches is unmapped as one, by revoke or UNMAP, on %s', (kernel) => {
  for (const end of ['revoke', 'unmap'] as const) {
    const rig = partlyInDomain(kernel);
    rig.hwpt('hwpt', 'second');
    rig.calls();
    if (end === 'revoke') rig.memory(false);
    else rig.unmap(A, 0x4000n, 'second');
    expect(rig.calls()).toContain('unmap hwpt 0x1000000 0x4000');
    expect(rig.reach('hwpt')).toEqual([]);
  }
});
