/**
 * Mappings of BARs, touches and revokes, as the unmerged series is written and as is recommended: which entries of the
 * CPU a revoke leaves. What is found is kept, and expected; docs/findings/0001 tells it.
 *
 * Source: vfio-dmabuf 6.4, 6.9, V-59
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Divergence } from '../../properties/divergence.ts';
import { perform } from '../../properties/perform.ts';
import { replay } from '../../properties/recorded.ts';
import { regressionOf } from '../../properties/regression.ts';
import { newWorld } from '../../properties/world.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import { readTraces } from '../../trace/parse.ts';
import { writeTrace } from '../../trace/write.ts';

const BAR_PAGES = 8;
const REGIONS = [0, 1, 2, 5] as const;

/** One device with BARs that are alike, so that only their numbers tell them apart. */
const CONFIG: MachineConfig = {
  pageSize: 0x1000n,
  pageSizes: [0x1000n],
  aperture: [0n, 0xffff_ffffn],
  reserved: [],
  devices: new Map([
    [
      'dev0',
      { bars: new Map(REGIONS.map((bar) => [bar, BigInt(BAR_PAGES) * 0x1000n])), group: 0, bus: 1, resets: ['flr'] },
    ],
  ]),
};

const OPEN: readonly Command[] = [
  { do: 'iommufd_open', as: 'ctx' },
  { do: 'vfio_open', dev: 'dev0' },
  { do: 'vfio_bind', dev: 'dev0', ctx: 'ctx' },
];

type Intent =
  | { readonly do: 'map'; readonly region: number; readonly page: number; readonly pages: number }
  | { readonly do: 'touch' | 'unmap'; readonly which: number; readonly page: number }
  | { readonly do: 'memory'; readonly enable: boolean };

const intents = (regions: readonly number[]): fc.Arbitrary<Intent[]> =>
  fc.array(
    fc.oneof(
      fc.record({
        do: fc.constant('map' as const),
        region: fc.constantFrom(...regions),
        page: fc.nat({ max: BAR_PAGES - 1 }),
        pages: fc.integer({ min: 1, max: BAR_PAGES }),
      }),
      fc.record({
        do: fc.constantFrom('touch' as const, 'unmap' as const),
        which: fc.nat({ max: 7 }),
        page: fc.nat({ max: BAR_PAGES - 1 }),
      }),
      fc.record({ do: fc.constant('memory' as const), enable: fc.boolean() }),
    ),
    { maxLength: 12 },
  );

interface There {
  readonly map: string;
  readonly pages: number;
}

/** The command that an intent means while these mappings are there; undefined for one of a mapping that is not. */
function resolve(intent: Intent, there: readonly There[], made: number): Command | undefined {
  switch (intent.do) {
    case 'map': {
      const { region, page, pages } = intent;
      const [offset, length] = [BigInt(page) * 0x1000n, BigInt(pages) * 0x1000n];
      return { do: 'bar_mmap', dev: 'dev0', region, offset, length, as: `v${made}` };
    }
    case 'memory':
      return { do: 'vfio_memory', dev: 'dev0', enable: intent.enable };
    default: {
      // Counted from the newest, so that what comes before it may go.
      const found = there.at(-1 - (intent.which % Math.max(there.length, 1)));
      if (found === undefined) return undefined;
      const { map, pages } = found;
      return intent.do === 'unmap'
        ? { do: 'munmap', map }
        : { do: 'peek', map, offset: BigInt(intent.page % pages) * 0x1000n };
    }
  }
}

/** Both worlds, step by step; the divergence that ends it, if one does. */
function walk(drawn: readonly Intent[], kernel: string): Divergence | undefined {
  const world = newWorld(CONFIG, kernel);
  const there: There[] = [];
  let made = 0;
  try {
    for (const command of OPEN) perform(world, command);
    for (const intent of drawn) {
      const command = resolve(intent, there, made);
      if (command === undefined) continue;
      const { result } = perform(world, command);
      if (command.do === 'bar_mmap' && 'ok' in result) {
        there.push({ map: `v${made++}`, pages: Number(command.length / 0x1000n) });
      }
      if (command.do === 'munmap') {
        there.splice(
          there.findIndex(({ map }) => map === command.map),
          1,
        );
      }
    }
    return undefined;
  } catch (error) {
    if (!(error instanceof Divergence)) throw error;
    error.world = world;
    return error;
  }
}

/** What a search on a kernel ends with, at its smallest. */
function search(regions: readonly number[], kernel: string): Divergence | undefined {
  const found = fc.check(
    fc.property(intents(regions), (drawn) => walk(drawn, kernel) === undefined),
    { seed: 20261121, numRuns: 1000 },
  );
  return found.counterexample === null ? undefined : walk(found.counterexample[0], kernel);
}

const FOUND = [
  ['a slice of BAR 0 that begins behind its start', [0], '0001-slice-of-bar-0'],
  ['any slice of another BAR', [1, 2, 5], '0001-any-other-bar'],
] as const;

test.each(FOUND)('as it is written, a revoke leaves the entries of %s: found, and shrunk', async (_, regions, name) => {
  const divergence = search(regions, 'v4-literal');
  if (divergence === undefined) throw new Error('nothing found');
  const { trace } = regressionOf(divergence);
  // A map, a touch, a revoke: nothing less shows it.
  expect(trace.steps.map(({ command }) => command.do).slice(OPEN.length)).toEqual(['bar_mmap', 'peek', 'vfio_memory']);
  const about = 'The CPU reaches a BAR after a revoke: finding 0001, expected on v4-literal, derived and unconfirmed.';
  const kept = writeTrace({ ...trace, name, about });
  await expect(kept).toMatchFileSnapshot(`../../docs/findings/${name}.json`);
});

test.each(FOUND)('as is recommended, a revoke leaves no entry of %s', (_, regions) => {
  expect(search(regions, 'v4')).toBe(undefined);
});

test.each(['7.3', 'v4'])('replay of what was found agrees on %s, and does not as it is written', (kernel) => {
  const traces = [...readTraces('docs/findings')].map(({ trace }) => trace);
  expect(traces.map(({ name }) => name)).toEqual(FOUND.map(([, , name]) => name).toSorted());
  for (const trace of traces) {
    expect(replay(trace, kernel)).toEqual({ verdict: 'agree', steps: 6 });
    expect(replay(trace)).toEqual(replay(trace, 'v4-literal'));
    expect(replay(trace)).toMatchObject({ verdict: 'disagree', step: 6 });
  }
});

/** Every slice of a BAR, and whether its entries outlive a revoke. */
test('as it is written, entries survive of every slice but those that begin where BAR 0 does', () => {
  for (const region of REGIONS) {
    for (let page = 0; page < BAR_PAGES; page++) {
      for (let pages = 1; page + pages <= BAR_PAGES; pages++) {
        const drawn: Intent[] = [
          { do: 'map', region, page, pages },
          ...Array.from({ length: pages }, (_, i): Intent => ({ do: 'touch', which: 0, page: i })),
          { do: 'memory', enable: false },
        ];
        const where = `BAR ${region}, pages ${page} to ${page + pages - 1}`;
        // The zap is of [0, pages); the mapping lies at [region * 2^28 + page, region * 2^28 + page + pages).
        const left = region === 0 ? Math.min(page, pages) : pages;
        expect(walk(drawn, 'v4-literal')?.details.length ?? 0, where).toBe(left);
        expect(walk(drawn, 'v4'), where).toBe(undefined);
      }
    }
  }
});
