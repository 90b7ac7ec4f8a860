/** From intents to commands: views say what is there now, and a command belongs to whoever asked for it. */
import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { State } from '../../model/spec.ts';
import { type Intent, intentFor, intents } from '../../properties/intents.ts';
import { MACHINES, SETTINGS } from '../../properties/machines.ts';
import { resolve } from '../../properties/resolve/resolve.ts';
import { twist } from '../../properties/twist.ts';
import { destroyedObject, pick, pickOf, sources } from '../../properties/view.ts';
import { walk } from '../../properties/walk.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';

test('pickOf picks what pick does of those that fit', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(9)), fc.nat(99), fc.nat(9), (all, n, least) => {
      const fits = (one: number): boolean => one >= least;
      expect(pickOf(all, n, fits)).toBe(pick(all.filter(fits), n));
    }),
  );
});

interface Seen {
  readonly intent: Intent;
  readonly state: State;
}

/** Every intent of some sequences, with a state that was met; on each machine. */
function seen(): Seen[] {
  const all: Seen[] = [];
  for (const [seed, { config, kernel }] of SETTINGS.entries()) {
    const [drawn] = fc.sample(intents(200), { seed, numRuns: 1 }) as [readonly Intent[]];
    let at = 0;
    walk({ config, kernel, intents: drawn, closing: 1 }, (_world, before) => {
      const intent = drawn[at++ % drawn.length] as Intent;
      all.push({ intent, state: before });
    });
  }
  return all;
}

test('an intent resolves to the same command whatever was resolved before, and to a new one each time', () => {
  const all = seen();
  const there = all.map(({ intent, state }) => resolve(intent, state));
  const back = all.toReversed().map(({ intent, state }) => resolve(intent, state));
  expect(isDeepStrictEqual(back.toReversed(), there)).toBe(true);
  expect(new Set([...there, ...back]).size).toBe(2 * all.length);
});

/** The arguments in which two commands differ; one may lack them. */
function differing(a: Command, b: Command): string[] {
  const argument = (command: Command, key: string): unknown => command[key as keyof Command];
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].filter((key) => !isDeepStrictEqual(argument(a, key), argument(b, key)));
}

/** What is put wrong in one go, where that is more than one argument. */
const TOGETHER = new Map<Command['do'], readonly string[]>([
  ['ioas_map', ['iova', 'length']], // Where there is no room, wherever that is.
  ['ioas_map_file', ['iova', 'length']],
  ['ioas_copy', ['dst', 'dst_iova', 'length', 'src', 'src_iova']], // Another area, to another place.
  ['munmap', ['length', 'offset']],
]);

test('of a wrong command one thing is wrong', () => {
  const met = new Set<number>();
  for (const { intent, state } of seen()) {
    for (let odd = 0; odd < 12; odd++) {
      const right = resolve({ ...intent, odd: 1023 }, state);
      const wrong = twist(structuredClone(right), { ...intent, odd }, state);
      const differ = differing(right, wrong);
      met.add(Math.min(differ.length, 2));
      expect(wrong.do).toBe(right.do);
      if (differ.length > 1) expect(TOGETHER.get(wrong.do)).toEqual(expect.arrayContaining(differ));
    }
  }
  expect(met.size).toBe(3);
});

test('sources and destroyed objects are what the names of this very state stand for', () => {
  const met = new Set<string>();
  for (const { state, intent } of seen()) {
    const named = [...state.handles].flatMap(([name, it]) => (it === undefined ? [] : [{ name, it }]));
    for (const is of ['dmabuf', 'memfd', 'memory'] as const) {
      const meant = named.filter(({ it }) => it.is === is).map(({ name, it }) => ({ name, source: it }));
      expect(isDeepStrictEqual(sources(state, is), meant)).toBe(true);
      if (meant.length > 0) met.add(is);
    }
    const alive = new Set<unknown>(state.ioases.flatMap(({ space, domains }) => [space, ...domains]));
    const gone = named.filter(({ it }) => 'context' in it && !alive.has(it));
    expect(destroyedObject(state, intent.at)).toBe(pick(gone, intent.at)?.name);
    if (gone.length > 0) met.add('destroyed');
  }
  expect(met.size).toBe(4);
});

test('behind an area that ends with the address space comes its beginning', () => {
  const mapFile = intentFor('ioas_map_file');
  const drawn: Intent[] = [
    ...[242, 308, 318].map((odd) => ({ ...mapFile, odd })),
    intentFor('memfd_create', { odd: 70 }),
    ...[185, 278].map((odd) => ({ ...mapFile, odd })),
    { ...mapFile, at: 192, how: 659, odd: 21 },
    { ...mapFile, how: 838, odd: 73 },
    { ...mapFile, at: 428, odd: 24 },
    intentFor('ioas_copy', { from: 940, odd: 309 }),
  ];
  const config = MACHINES.get('two devices') as MachineConfig;
  const { history } = walk({ config, kernel: '7.3', intents: drawn, closing: 0 });
  expect(history[8]?.command).toMatchObject({ iova: 0xffff_ffff_ffff_efffn, length: 0x1000n });
  expect(history[9]?.command).toMatchObject({ do: 'ioas_copy', dst_iova: 0n });
});
