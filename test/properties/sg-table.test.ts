/**
 * Lists of DMA addresses against an oracle that thinks in pages: for whatever ranges, page size and way, the p-th page
 * of the list is the p-th page of the ranges, and no entry ends before it must.
 */
import * as fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { isErrno } from '../../impl/kernel/errno.ts';
import type { U64 } from '../../impl/kernel/units.ts';
import { SgRig, type Way } from '../unit/sg-rig.ts';
import { seedOr } from './seed.ts';

vi.mock('../../impl/iommufd/device.ts', () => import('../unit/vfio-fake-iommufd.ts'));

const SEED = seedOr(20261120);
const CASES = 100_000;

const WAYS: readonly Way[] = ['bus', 'window', 'ranges', 'ranges by IOMMU'];
/** The unit of everything below: 4 KiB. A page of the CPU has one of them, or 16. */
const UNIT = 4096;
const PAGES_OF: readonly number[] = [1, 16];
const TIB = 2 ** 28;
/** Bus addresses are less than physical ones by so many units. */
const BUS_DISTANCE = 0x3f_2000_0;
const ALL_UNITS = 2 ** 52;

interface Range {
  /** In CPU pages. */
  readonly start: number;
  readonly length: number;
}

/** Lengths of one page to 1 TiB: of every magnitude, and beside the multiples of the longest entry. */
function lengthOf(shape: number, fine: number, unitsPerPage: number): number {
  const most = TIB / unitsPerPage;
  const longest = 2 ** 20 / unitsPerPage - 1;
  const magnitude = (2 ** shape + (fine % 2 ** shape)) / unitsPerPage;
  const beside = longest * (shape - 28) + (fine % 3) - 1;
  return Math.min(Math.max(Math.floor(shape < 29 ? magnitude : beside), 1), most);
}

const rangeOf = fc.tuple(fc.nat(2 ** 30), fc.nat(40), fc.nat(2 ** 28));
type Drawn = readonly [choice: number, ranges: readonly (readonly [start: number, shape: number, fine: number])[]];
const caseOf: fc.Arbitrary<Drawn> = fc.tuple(fc.nat(7), fc.array(rangeOf, { minLength: 1, maxLength: 5 }));

/** Of the oracle: the p-th unit of the ranges, where the list has it, and where an entry may end before it is full. */
function differences(
  ranges: readonly Range[],
  unitsPerPage: number,
  way: Way,
  list: readonly { readonly dmaAddress: U64; readonly dmaLength: number }[],
  reach: (address: number) => number | undefined,
): string | undefined {
  const ends: number[] = [];
  let total = 0;
  for (const { length } of ranges) {
    total += length * unitsPerPage;
    ends.push(total);
  }
  const unitAt = (p: number): number => {
    const at = ends.findIndex((end) => p < end);
    const { start, length } = ranges[at] as Range;
    return start * unitsPerPage + p - ((ends[at] as number) - length * unitsPerPage);
  };
  const longest = Math.floor((2 ** 32 - 1) / (UNIT * unitsPerPage)) * unitsPerPage;
  const window = list[0]?.dmaAddress.page ?? 0;
  let p = 0;
  for (const [i, { dmaAddress, dmaLength }] of list.entries()) {
    const units = dmaLength / UNIT;
    if (dmaAddress.page >= ALL_UNITS) return `entry ${i} begins beyond 64 bits`;
    if (dmaAddress.byte !== 0 || dmaAddress.page % unitsPerPage !== 0) return `entry ${i} does not begin at a page`;
    if (dmaLength <= 0 || units % unitsPerPage !== 0) return `entry ${i} is ${dmaLength} bytes long`;
    if (units > longest) return `entry ${i} is longer than an entry can be`;
    if (p + units > total) return `entry ${i} is of more than there is`;
    const atEnd = way === 'window' ? p + units === total : ends.includes(p + units);
    if (units < longest && !atEnd) return `entry ${i} ends too early`;
    if (way === 'window') {
      if (dmaAddress.page !== window + p) return `entry ${i} is not where the one before it ends`;
    } else if (ends.some((end) => p < end && end < p + units)) return `entry ${i} is of two ranges`;
    for (const unit of [0, units - 1, units >> 1]) {
      const reached = reach((dmaAddress.page + unit) % ALL_UNITS);
      if (reached !== unitAt(p + unit))
        return `unit ${unit} of entry ${i} reaches ${reached}, and not ${unitAt(p + unit)}`;
    }
    p += units;
  }
  return p === total ? undefined : `${p} units are listed of ${total}`;
}

/** One machine for each way, on which another buffer stays mapped. */
class Bench {
  readonly rig: SgRig;
  readonly way: Way;
  readonly empty: string;

  constructor(way: Way) {
    this.way = way;
    this.rig = new SgRig(way);
    this.rig.map([{ paddr: 2 ** 50, len: 5 * 2 ** 30 }]);
    this.empty = this.state();
  }

  state(): string {
    return JSON.stringify(this.rig.state);
  }

  readonly reach = (address: number): number | undefined => {
    if (this.way === 'bus') return (address + BUS_DISTANCE) % ALL_UNITS;
    if (this.way === 'ranges') return address;
    const phys = this.rig.domain.translate(address * UNIT);
    return phys === undefined ? undefined : phys / UNIT;
  };
}

test('lists of DMA addresses are those of the oracle, and a map and its unmap leave no trace', () => {
  const benches = new Map(WAYS.map((way) => [way, new Bench(way)]));
  const seen = { cases: 0, entries: 0, longest: 0, bytes: 0 };

  const check = ([choice, drawn]: Drawn): void => {
    const way = WAYS[choice % 4] as Way;
    const unitsPerPage = PAGES_OF[choice >> 2] as number;
    const bench = benches.get(way) as Bench;
    const { rig } = bench;
    const ranges = drawn.map(([start, shape, fine]) => ({ start, length: lengthOf(shape, fine, unitsPerPage) }));
    const pageSize = unitsPerPage * UNIT;
    rig.kernel.pageSize = pageSize;
    const physical = ranges.map(({ start, length }) => ({ paddr: start * pageSize, len: length * pageSize }));
    const table = rig.map(physical);
    if (isErrno(table)) throw new Error(`${way}: map answers ${table}`);
    const difference = differences(ranges, unitsPerPage, way, table.entries, bench.reach);
    if (difference !== undefined) throw new Error(`${way}, pages of ${pageSize} bytes: ${difference}`);
    if (table.origNents !== 0) throw new Error('there are pages for the CPU');
    rig.unmap(table);
    if (bench.state() !== bench.empty) throw new Error(`${way}: something is left of the map`);
    seen.cases++;
    seen.entries += table.entries.length;
    seen.longest = Math.max(seen.longest, table.entries.length);
    seen.bytes += physical.reduce((sum, { len }) => sum + len, 0);
  };

  /** What a failure has left must not fail the smaller cases that are tried next. */
  const checkAfresh = (drawn: Drawn): void => {
    try {
      check(drawn);
    } catch (error) {
      for (const way of WAYS) benches.set(way, new Bench(way));
      throw error;
    }
  };
  fc.assert(fc.property(caseOf, checkAfresh), { seed: SEED, numRuns: CASES });
  const tib = Math.round(seen.bytes / 2 ** 40);
  console.log(`seed ${SEED}: ${seen.cases} cases, ${seen.entries} entries, at most ${seen.longest}, ${tib} TiB in all`);
  expect(seen.cases).toBe(CASES);
});
