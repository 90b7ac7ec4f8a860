/** Whether there is room for an automatic IOVA: as the model has it, and by a list of all the holes. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { ceil, END, gaps, hasRoom, lower, MAX, reserved } from '../../model/iova.ts';
import type { Area, Ioas, State } from '../../model/spec.ts';
import type { Interval } from '../../trace/command.ts';
import { start } from './model-scene.ts';

interface Scene {
  readonly s: State;
  readonly ioas: Ioas;
  readonly from: bigint;
  readonly length: bigint;
}

/** Numbers near those that matter: the ends, pages, powers of two. */
const number = fc.oneof(
  fc.bigInt(0n, 0x5000n),
  fc.bigInt(0x1000n, 0x100cn),
  fc.bigInt(MAX - 0x3000n, MAX),
  fc.bigInt(0n, 63n).map((page) => page * 0x1000n),
  fc.tuple(fc.bigInt(0n, 63n), fc.bigInt(-1n, 0x1000n)).map(([bit, more]) => (1n << bit) + more),
);
const interval = fc.tuple(number, number).map(([a, b]): Interval => (a < b ? [a, b] : [b, a]));

/** Ascending and disjoint; `tight` ones leave no gap. */
function areasBetween(points: readonly bigint[], tight: boolean): Area[] {
  const cuts = [...points].sort((a, b) => (a < b ? -1 : 1));
  return cuts.flatMap((iova, i) => {
    const end = cuts[i + 1];
    return end === undefined || (i % 2 === 1 && !tight) ? [] : [{ iova, length: end - iova } as Area];
  });
}

const scenes: fc.Arbitrary<Scene> = fc
  .record({
    pageSize: fc.constantFrom(0x1000n, 0x1_0000n),
    points: fc.uniqueArray(number, { maxLength: 10 }),
    tight: fc.boolean(),
    full: fc.boolean(),
    kept: fc.array(interval, { maxLength: 2 }),
    allowed: fc.array(interval, { maxLength: 1 }),
    from: fc.oneof(fc.constant(0n), number),
    length: fc.oneof(
      fc.bigInt(1n, 3n),
      number.filter((it) => it > 0n && it < MAX / 2n),
    ),
  })
  .map(({ pageSize, points, tight, full, kept, allowed, from, length }) => {
    const before = start();
    const [ioas] = before.ioases as [Ioas];
    const held = { ...ioas, areas: areasBetween(full ? [...points, END] : points, tight), allowed };
    const machine = { ...before.machine, pageSize, reserved: kept };
    // A device that is attached keeps the reserved ranges for itself.
    const devices = before.devices.map((it) => ({ ...it, domain: { space: ioas.space } as never }));
    return { s: { ...before, machine, devices, ioases: [held] }, ioas: held, from, length };
  });

function hasHole({ s, ioas, from, length }: Scene): boolean {
  const { pageSize: page } = s.machine;
  let align = 1n;
  while (align < lower(length, 0x20_0000n) && from % (align * 2n) === 0n) align *= 2n;
  const areas = ioas.areas.map((it): Interval => [it.iova, it.iova + it.length - 1n]);
  const forbidden = ioas.allowed.length > 0 ? gaps(ioas.allowed, 0n, MAX) : [];
  return gaps([...areas, ...reserved(s, ioas), ...forbidden], page, MAX - page).some(([low, high]) => {
    const first = ceil(low, align) | (from % page);
    return first < high && high - first >= length - 1n;
  });
}

test('there is room where one of the holes has it, and nowhere else', () => {
  const seen = new Map([
    [true, 0],
    [false, 0],
  ]);
  const property = fc.property(scenes, (scene) => {
    const expected = hasHole(scene);
    seen.set(expected, (seen.get(expected) as number) + 1);
    expect(hasRoom(scene.s, scene.ioas, scene.from, scene.length)).toBe(expected);
  });
  fc.assert(property, { seed: 20261122, numRuns: 5000 });
  for (const count of seen.values()) expect(count).toBeGreaterThan(1000);
});
