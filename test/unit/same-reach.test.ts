/** Whether a domain translates what its areas promise, beside a look at every byte. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Pte } from '../../model/invariants.ts';
import type { Area, Source } from '../../model/spec.ts';
import type { Looked } from '../../properties/look.ts';
import { firstDifference } from '../../properties/same-reach.ts';
import type { Prot } from '../../trace/command.ts';

const piece = fc.record({
  gap: fc.bigInt(0n, 2n),
  lengths: fc.array(fc.bigInt(1n, 3n), { minLength: 1, maxLength: 2 }),
  live: fc.boolean(),
  memory: fc.constantFrom('m0', 'm1'),
  offset: fc.bigInt(0n, 4n),
  prot: fc.constantFrom<Prot>('rw', 'r'),
});

const ODD = ['left out', 'shorter', 'another byte', 'another memory', 'another prot', 'moved', 'revived'] as const;
const odd = fc.record({ how: fc.constantFrom(...ODD), which: fc.nat(9) });

const scene = fc.record({
  areas: fc.array(piece, { maxLength: 4 }),
  odds: fc.array(odd, { maxLength: 2 }),
  low: fc.bigInt(0n, 4n),
  length: fc.bigInt(1n, 30n),
});
type Scene = typeof scene extends fc.Arbitrary<infer T> ? T : never;

/** Areas one behind the other, and the translations of those that live, in pieces, of which some are odd. */
function lay({ areas: pieces, odds, low: first, length: size }: Scene): Looked {
  const last = first + size - 1n;
  const areas: Area[] = [];
  let all: (Pte & { readonly live: boolean })[] = [];
  let iova = 0n;
  for (const { gap, lengths, live, memory, offset, prot } of pieces) {
    iova += gap;
    const length = lengths.reduce((sum, each) => sum + each);
    const source: Source = { is: 'memory', memory, base: 0n, length: 99n, ranges: [], owner: undefined };
    areas.push({ iova, length, prot, live, source, offset, writable: true });
    let done = 0n;
    for (const each of lengths) {
      const at = { iova: iova + done, offset: offset + done, length: each };
      all.push({ domain: 'a', ...at, memory, prot, mmio: false, cache: true, live });
      done += each;
    }
    iova += length;
  }
  for (const { how, which } of odds) all = all.flatMap((pte, i) => (i === which % all.length ? made(how, pte) : [pte]));
  // What was moved is in the way of nobody else.
  all = all.filter((pte, i) => !all.slice(0, i).some((it) => it.live && pte.iova < it.iova + it.length));
  const ptes = all.flatMap(({ live, ...pte }) => (live ? cut(pte, first, last) : []));
  const there = areas.filter((area) => area.iova <= last && first < area.iova + area.length);
  return { name: 'a', first, last, areas: there, page: undefined, ptes };
}

type Laid = Pte & { readonly live: boolean };

function made(how: (typeof ODD)[number], pte: Laid): Laid[] {
  if (how === 'left out') return [];
  if (how === 'shorter') return pte.length > 1n ? [{ ...pte, length: pte.length - 1n }] : [];
  if (how === 'another byte') return [{ ...pte, offset: pte.offset + 1n }];
  if (how === 'another memory') return [{ ...pte, memory: 'm2' }];
  if (how === 'moved') return [{ ...pte, iova: pte.iova + 1n }];
  if (how === 'another prot') return [{ ...pte, prot: 'w' }];
  return [{ ...pte, live: true }];
}

/** As the hardware is looked at: in [first, last], and no further. */
function cut(pte: Pte, first: bigint, last: bigint): Pte[] {
  const from = pte.iova < first ? first : pte.iova;
  const to = pte.iova + pte.length - 1n > last ? last : pte.iova + pte.length - 1n;
  return from > to ? [] : [{ ...pte, iova: from, offset: pte.offset + from - pte.iova, length: to - from + 1n }];
}

interface Reaching {
  readonly iova: bigint;
  readonly length: bigint;
  readonly memory: string;
  readonly offset: bigint;
  readonly prot: Prot;
}

const reached = (all: readonly Reaching[], at: bigint): string => {
  const found = all.find(({ iova, length }) => iova <= at && at < iova + length);
  return found ? `${found.memory}+0x${(found.offset + at - found.iova).toString(16)} ${found.prot}` : 'nothing';
};

/** Byte by byte. */
function naive({ areas, ptes, first, last }: Looked): string[] {
  const live = areas.filter((area) => area.live).map((area) => ({ ...area, memory: area.source.memory }));
  for (let at = first; at <= last; at++) {
    const [promised, found] = [reached(live, at), reached(ptes, at)];
    if (promised !== found)
      return [`domain a, IOVA 0x${at.toString(16)}: the model reaches ${promised}, the hardware ${found}`];
  }
  return [];
}

test('the first byte that differs is told, and none when all are the same', () => {
  let different = 0;
  const property = fc.property(scene, (drawn) => {
    const looked = lay(drawn);
    const expected = naive(looked);
    if (expected.length > 0) different++;
    expect(firstDifference(looked)).toEqual(expected);
  });
  const runs = 5000;
  fc.assert(property, { seed: 20261122, numRuns: runs });
  expect(different).toBeGreaterThan(runs / 5);
  expect(different).toBeLessThan((runs * 4) / 5);
});
