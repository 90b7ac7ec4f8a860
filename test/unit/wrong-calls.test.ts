/** Whether calls are those that a step must make, beside a count of every byte. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { MapCall, UnmapCall } from '../../model/observation.ts';
import type { Area, Source } from '../../model/spec.ts';
import { type Calls, wrongCalls } from '../../properties/calls.ts';
import type { Effect } from '../../properties/changes.ts';

const piece = fc.record({
  domain: fc.constantFrom('a0', 'a1'),
  map: fc.boolean(),
  gap: fc.bigInt(0n, 1n),
  lengths: fc.array(fc.bigInt(1n, 3n), { minLength: 1, maxLength: 3 }),
  memory: fc.constantFrom('m0', 'm1'),
  offset: fc.bigInt(0n, 4n),
});

const ODD = ['left out', 'twice', 'elsewhere', 'longer', 'another byte', 'another memory', 'another domain'] as const;
const odd = fc.record({ how: fc.constantFrom(...ODD), which: fc.nat(99) });

const scene = fc.record({
  areas: fc.array(piece, { maxLength: 5 }),
  odds: fc.array(odd, { maxLength: 2 }),
  order: fc.nat(9),
});
type Scene = typeof scene extends fc.Arbitrary<infer T> ? T : never;

type Call = (MapCall & { readonly is: 'map' }) | (UnmapCall & { readonly is: 'unmap' });

/** Areas one behind the other, and the calls for each, one or several, of which some are odd. */
function lay({ areas, odds, order }: Scene): { readonly effects: Effect[]; readonly calls: Calls } {
  const effects: Effect[] = [];
  let all: Call[] = [];
  let iova = 0n;
  for (const { domain, map, gap, lengths, memory, offset } of areas) {
    iova += gap;
    const length = lengths.reduce((sum, each) => sum + each);
    const source: Source = { is: 'memory', memory, base: 0n, length: 99n, ranges: [], owner: undefined };
    const area: Area = { iova, length, prot: 'rw', live: true, source, offset, writable: true };
    effects.push({ domain, map, area });
    let done = 0n;
    for (const each of lengths) {
      all.push(
        map
          ? { is: 'map', domain, iova: iova + done, length: each, memory, offset: offset + done, mmio: false }
          : { is: 'unmap', domain, iova: iova + done, length: each, cleared: each },
      );
      done += each;
    }
    iova += length;
  }
  for (const { how, which } of odds)
    all = all.flatMap((call, i) => (i === which % all.length ? made(how, call) : [call]));
  // Their order is nobody's business here.
  all = [...all.slice(order), ...all.slice(0, order)];
  const calls = { maps: all.filter(({ is }) => is === 'map'), unmaps: all.filter(({ is }) => is === 'unmap') };
  return { effects, calls: calls as Calls };
}

function made(how: (typeof ODD)[number], call: Call): Call[] {
  if (how === 'left out') return [];
  if (how === 'twice') return [call, call];
  if (how === 'elsewhere') return [{ ...call, iova: call.iova + 1n }];
  if (how === 'another domain') return [{ ...call, domain: call.domain === 'a0' ? 'a1' : 'a0' }];
  if (call.is === 'unmap') return how === 'longer' ? [{ ...call, cleared: call.cleared + 1n }] : [call];
  if (how === 'longer') return [{ ...call, length: call.length + 1n }];
  if (how === 'another byte') return [{ ...call, offset: call.offset + 1n }];
  return [{ ...call, memory: call.memory === 'm0' ? 'm1' : 'm0' }];
}

/** Every byte by its domain, and what was done to it. */
class Bytes {
  readonly #done = new Map<string, string[]>();

  add(domain: string, iova: bigint, length: bigint, what: (at: bigint) => string): this {
    for (let at = 0n; at < length; at++) {
      const key = `${domain} ${iova + at}`;
      this.#done.set(key, [...(this.#done.get(key) ?? []), what(at)].sort());
    }
    return this;
  }

  get all(): readonly unknown[] {
    return [...this.#done].sort(([a], [b]) => (a < b ? -1 : 1));
  }
}

function expected(effects: readonly Effect[]): Bytes {
  const bytes = new Bytes();
  for (const { domain, map, area } of effects)
    bytes.add(domain, area.iova, area.length, (at) => (map ? `${area.source.memory}+${area.offset + at}` : 'unmap'));
  return bytes;
}

function got({ maps, unmaps }: Calls): Bytes {
  const bytes = new Bytes();
  for (const { domain, iova, length, memory, offset } of maps)
    bytes.add(domain, iova, length, (at) => `${memory}+${offset + at}`);
  for (const { domain, iova, cleared } of unmaps) bytes.add(domain, iova, cleared, () => 'unmap');
  return bytes;
}

test('calls are wrong just when something was not done to a byte as often as it must be', () => {
  const seen = { right: 0, wrong: 0 };
  fc.assert(
    fc.property(scene, (drawn) => {
      const { effects, calls } = lay(drawn);
      const right = JSON.stringify(expected(effects).all) === JSON.stringify(got(calls).all);
      seen[right ? 'right' : 'wrong']++;
      expect(wrongCalls(effects, calls, false).length === 0).toBe(right);
    }),
    { seed: 1, numRuns: 1000 },
  );
  expect(Math.min(seen.right, seen.wrong)).toBeGreaterThan(150);
});
