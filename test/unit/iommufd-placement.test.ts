/** Automatic placement: the examples of the document, and the whole rule against the same rule in bigints. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Area } from '../../impl/iommufd/area.ts';
import { Allowed, IoPagetable, Reserved } from '../../impl/iommufd/io-pagetable.ts';
import { allocIova } from '../../impl/iommufd/placement.ts';
import { isErrno } from '../../impl/kernel/errno.ts';
import { drain, Kernel, Task, type Thread } from '../../impl/kernel/thread.ts';
import { fromBigint, toBigint, ZERO } from '../../impl/kernel/units.ts';
import { U64_MAX } from './iommufd-rig.ts';

type Span = readonly [first: bigint, last: bigint];

interface Space {
  readonly alignment?: number;
  readonly reserved?: readonly Span[];
  readonly areas?: readonly Span[];
  readonly allowed?: readonly Span[];
}

function iopt({ alignment = 1, reserved = [], areas = [], allowed = [] }: Space): IoPagetable {
  const made = new IoPagetable();
  made.alignment = alignment;
  const node = (span: Span): readonly [ReturnType<typeof fromBigint>, ReturnType<typeof fromBigint>] => [
    fromBigint(span[0]),
    fromBigint(span[1]),
  ];
  for (const span of reserved) made.reserved.insert(new Reserved(...node(span), made));
  for (const span of areas) made.areas.insert(new Area(made, ...node(span), 0, ZERO));
  for (const span of allowed) {
    const [first, last] = node(span);
    made.allowed.insert(new Allowed(first, last));
  }
  return made;
}

/** What automatic placement answers: an IOVA, or an errno. */
function placed(space: Space, address: bigint, length: bigint): bigint | string {
  const table = iopt(space);
  const answer = drain(new Task('task', new Kernel()), () => placing(table, address, length));
  return isErrno(answer) ? answer : toBigint(answer);
}

function* placing(table: IoPagetable, address: bigint, length: bigint): Thread<ReturnType<typeof allocIova>> {
  yield table.iovaRwsem.write;
  const answer = allocIova(table, fromBigint(address), fromBigint(length));
  table.iovaRwsem.releaseWrite();
  return answer;
}

const MOCK: Space = {
  alignment: 0x800,
  reserved: [
    [0n, 0xff_ffffn],
    [0x8000_0000n, U64_MAX],
  ],
};
const USER = 0x7f00_0020_0000n;

describe('the examples of 2.8', () => {
  test.each<[address: bigint, length: bigint, where: string, space: Space, answer: bigint | string]>([
    [USER, 0x1000n, 'an empty space', {}, 0x1000n],
    [USER, 0x1000n, 'a mock domain', MOCK, 0x100_0000n],
    [USER, 0x3000n, 'a mock domain with an area', { ...MOCK, areas: [[0x100_0000n, 0x100_0fffn]] }, 0x100_4000n],
    [0n, 0x4000n, 'an empty space', {}, 0x4000n],
    [0n, 0x4000n, 'a mock domain', MOCK, 0x100_0000n],
    [0x1800n, 0x1000n, 'a mock domain', MOCK, 0x100_0800n],
    [0x1800n, 0x1000n, 'an empty space', {}, 0x1800n],
    [0x1400n, 0x1000n, 'a mock domain, whose pages are larger', MOCK, 'EINVAL'],
    [0x1400n, 0x1000n, 'a space with an area', { areas: [[0x1000n, 0x17ffn]] }, 0x1c00n],
    [USER, 0x5000n, 'a space with a gap below its top', { reserved: [[6n, 0xffff_ffff_ffff_8006n]] }, 'ENOSPC'],
    [
      USER,
      1n,
      'a hole of one byte',
      {
        reserved: [
          [0n, 0x1fffn],
          [0x2001n, U64_MAX],
        ],
      },
      'ENOSPC',
    ],
  ])('address %o, length %o, in %o', (address, length, _, space, answer) => {
    expect(placed(space, address, length)).toBe(answer);
  });
});

test.each<[what: string, address: bigint, length: bigint, space: Space, answer: bigint | string]>([
  ['EOVERFLOW for half of all bytes', 0n, 2n ** 63n - 1n, {}, 'EOVERFLOW'],
  ['an IOVA for one byte less', 0n, 2n ** 63n - 2n, {}, 0x20_0000n],
  ['huge alignment and no more, for a huge length', 0n, 0x1000_0000n, {}, 0x20_0000n],
  ['huge alignment for 2 MiB and a byte', 0n, 0x20_0001n, {}, 0x20_0000n],
  ['the alignment of the address, where that is less', 0x5000n, 0x20_0000n, {}, 0x1000n],
  ['the alignment of an address in the middle of a huge page', 0x1_0001_0000n, 0x20_0000n, {}, 0x1_0000n],
  ['a power of two above an odd length', 0n, 0x1801n, {}, 0x2000n],
  ['a byte, behind page 0', 0n, 1n, {}, 0x1000n],
  ['ENOSPC where only page 0 is free', 0n, 0x100n, { reserved: [[0x1000n, U64_MAX]] }, 'ENOSPC'],
  ['ENOSPC where only the last page is free', 0n, 0x100n, { reserved: [[0n, U64_MAX - 0x1000n]] }, 'ENOSPC'],
  ['ENOSPC where rounding up would wrap', 0n, 0x10_0000n, { allowed: [[U64_MAX - 0x2000n, U64_MAX]] }, 'ENOSPC'],
  [
    'the first allowed interval that is long enough',
    0n,
    0x2000n,
    {
      allowed: [
        [0x3000n, 0x4fffn],
        [0x8000n, 0x9fffn],
      ],
    },
    0x8000n,
  ],
  ['no page below the first, though it is allowed', 0n, 0x1000n, { allowed: [[0n, 0x1fffn]] }, 0x1000n],
  [
    'what two allowed intervals that touch hold together',
    0n,
    0x2000n,
    {
      allowed: [
        [0x2000n, 0x2fffn],
        [0x3000n, 0x3fffn],
      ],
    },
    0x2000n,
  ],
  [
    'ENOSPC where only the last page is free of what is allowed',
    0n,
    0x100n,
    { allowed: [[U64_MAX - 0x1fffn, U64_MAX]], areas: [[U64_MAX - 0x1fffn, U64_MAX - 0x1000n]] },
    'ENOSPC',
  ],
  ['ENOSPC where only the last page is allowed', 0n, 0x100n, { allowed: [[U64_MAX - 0x800n, U64_MAX]] }, 'ENOSPC'],
  ['nothing outside of what is allowed', 0n, 0x1000n, { allowed: [[0x3000n, 0x3ffen]] }, 'ENOSPC'],
  [
    'what reservations that overlap leave',
    0n,
    0x1000n,
    {
      reserved: [
        [0n, 0x4fffn],
        [0x2000n, 0x2fffn],
      ],
    },
    0x5000n,
  ],
  [
    'ENOSPC below a reservation to the end',
    0n,
    0x1000n,
    {
      reserved: [
        [0n, U64_MAX],
        [5n, U64_MAX],
      ],
    },
    'ENOSPC',
  ],
])('automatic placement gives %s', (_, address, length, space, answer) => {
  expect(placed(space, address, length)).toBe(answer);
});

const PAGE = 0x1000n;
const HUGE = 0x20_0000n;
const pow2ceil = (x: bigint): bigint => 1n << BigInt((x - 1n).toString(2).length * (x > 1n ? 1 : 0));
const least = (...values: bigint[]): bigint => values.reduce((a, b) => (a < b ? a : b));

/** Steps 1 to 7 of 2.8, byte by byte. */
function naive({ alignment = 1, reserved = [], areas = [], allowed = [] }: Space, address: bigint, length: bigint) {
  const al = least(pow2ceil(length), address === 0n ? HUGE : address & -address, HUGE);
  if (al < BigInt(alignment)) return 'EINVAL';
  const candidate = (first: bigint, last: bigint): bigint | undefined => {
    const c = (((first + al - 1n) / al) * al) | (address % PAGE);
    return c <= U64_MAX && c < last && last - c >= length - 1n ? c : undefined;
  };
  const used = [...reserved, ...areas].toSorted(([a], [b]) => (a < b ? -1 : 1));
  const spans = allowed.length === 0 ? [[PAGE, U64_MAX - PAGE] as const] : merged(allowed);
  for (const [start, end] of spans) {
    const last = least(end, U64_MAX - PAGE);
    let free = candidate(start < PAGE ? PAGE : start, last);
    if (free === undefined) continue;
    for (const [from, to] of [...used, [last + 1n, U64_MAX] as const]) {
      const iova: bigint | undefined = from > free ? candidate(free, least(from - 1n, last)) : undefined;
      if (iova !== undefined) return iova;
      if (to >= free) free = to + 1n;
      if (free > last) break;
    }
  }
  return 'ENOSPC';
}

/** Disjoint intervals, ascending; those that touch become one. */
function merged(spans: readonly Span[]): Span[] {
  const found: Span[] = [];
  for (const [first, last] of spans) {
    const before = found.at(-1);
    if (before !== undefined && before[1] + 1n === first) found[found.length - 1] = [before[0], last];
    else found.push([first, last]);
  }
  return found;
}

/** Disjoint intervals below 64 KiB, or at the end of everything, with bytes left between them. */
const intervals = (max: number): fc.Arbitrary<Span[]> =>
  fc
    .record({
      steps: fc.array(fc.tuple(edge, edge), { maxLength: max }),
      base: fc.constantFrom(0n, 0n, U64_MAX - 0x1_0000n),
    })
    .map(({ steps, base }) => {
      let at = base;
      const spans: Span[] = [];
      for (const [gap, length] of steps) {
        const [first, last] = [at + gap, at + gap + length];
        if (last <= U64_MAX) spans.push([first, last]);
        at = last + 1n;
      }
      return spans;
    });
const edge = fc.oneof(
  fc.bigInt({ min: 0n, max: 0x1400n }),
  fc.constantFrom(0n, 1n, 0x7ffn, 0x800n, 0xfffn, 0x1000n, 0x1001n, 0x2000n, 0x3fffn),
);

test('automatic placement is what the rule says, in any space', () => {
  const split = intervals(9).map((spans) => ({
    // Each reservation twice: several devices may reserve the same.
    reserved: spans.filter((_, i) => i % 3 === 0).flatMap((span) => [span, span]),
    areas: spans.filter((_, i) => i % 3 !== 0),
  }));
  const seen = { placed: 0, ENOSPC: 0, EINVAL: 0 };
  fc.assert(
    fc.property(
      split,
      fc.oneof(fc.constant([]), intervals(3)),
      fc.constantFrom(1, 0x800, 0x1000),
      fc.oneof(
        fc.constantFrom(0n, 0x800n, 0x1000n, 0x6000n, USER, USER + 0x800n),
        fc.bigInt({ min: 0n, max: 0x8000n }),
      ),
      edge.map((length) => length + 1n),
      (used, allowed, alignment, address, length) => {
        const space = { ...used, allowed, alignment };
        const answer = placed(space, address, length);
        expect(answer).toBe(naive(space, address, length));
        seen[typeof answer === 'bigint' ? 'placed' : (answer as 'ENOSPC' | 'EINVAL')]++;
      },
    ),
    { numRuns: 1500 },
  );
  for (const times of Object.values(seen)) expect(times).toBeGreaterThan(30);
});
