/**
 * Checked steps a second on one core: the sequential property's own walk, everything on, beside fast-check's own
 * model-based testing of the same implementation against the same model with the same comparison after every step.
 */
import * as fc from 'fast-check';
import { Coverage } from '../properties/coverage.ts';
import { type Witness, walk } from '../properties/walk.ts';
import { runBlind, runIntents } from './baseline.ts';
import { floor } from './floor.ts';
import { config, KERNEL, LONGEST, MACHINE, type Mix, SEQUENCES, STATED_MIX, TEST_MIX } from './mix.ts';
import { median, ratio, rounds, spread } from './rounds.ts';
import { percent, printTable, times, whole } from './table.ts';

const ROUNDS = 7;
const MILLISECONDS = 500;
/** Every competitor runs for four seconds before anything counts. */
const WARMING_UP = 8;

export function steps(): void {
  const seen = mixes();
  printMix(seen);
  const [walked, ofTest, ofIntents, ofBlind] = seen;
  const rows = [
    { name: 'the walk of the property', mix: walked, take: (seed: number) => runWalk(seed, STATED_MIX) },
    {
      name: 'the same, and coverage',
      mix: walked,
      take: (seed: number) => runWalk(seed, STATED_MIX, witnessOf(new Coverage())),
    },
    { name: 'the same, mix of npm test', mix: ofTest, take: (seed: number) => runWalk(seed, TEST_MIX) },
    { name: 'fc.commands, intents', mix: ofIntents, take: (seed: number) => runIntents(seed) },
    { name: 'the same, all compared', mix: ofIntents, take: (seed: number) => runIntents(seed, { wholeEvery: 1 }) },
    { name: 'fc.commands, blind', mix: ofBlind, take: (seed: number) => runBlind(seed) },
  ];
  let seed = 1;
  const competitors = rows.map(({ name, take }) => ({ name, run: () => take(seed++) }));
  const costs = rounds(competitors, ROUNDS, MILLISECONDS, WARMING_UP);
  printTable(
    ['checked steps, one core', 'steps/s', 'that succeed/s', 'µs/step', 'spread', 'walk is faster'],
    rows.map(({ name, mix }, i) => {
      const cost = costs[i] ?? [];
      const rate = 1e9 / median(cost);
      return [
        name,
        whole(rate),
        whole((rate * mix.succeeded) / mix.steps),
        (1e6 / rate).toFixed(2),
        percent(spread(cost)),
        times(ratio(cost, costs[0] ?? [])),
      ];
    }),
  );
  console.log(
    `Medians of ${ROUNDS} rounds, in turn; fast-check's drawing counts for all. Targets: 150,000 steps/s, 3×.\n`,
  );
  floor();
}

const witnessOf =
  (coverage: Coverage): Witness =>
  (world, before, performed) =>
    coverage.see(world, before, performed);

/** Walk some sequences; how many steps that was. */
function runWalk(seed: number, { intents }: Mix, witness?: Witness): number {
  let count = 0;
  const property = fc.property(intents, fc.nat(), (drawn, closing) => {
    count += walk({ config, kernel: KERNEL, intents: drawn, closing }, witness).history.length;
  });
  fc.assert(property, { seed, numRuns: SEQUENCES });
  return count;
}

type Seen = readonly [walk: Coverage, test: Coverage, intents: Coverage, blind: Coverage];

/** What the kinds of sequences really consist of: the walk's of both mixes, resolved intents', and blind ones'. */
function mixes(): Seen {
  const seen: Seen = [new Coverage(), new Coverage(), new Coverage(), new Coverage()];
  for (let seed = 1; seed <= 5; seed++) {
    runWalk(seed, STATED_MIX, witnessOf(seen[0]));
    runWalk(seed, TEST_MIX, witnessOf(seen[1]));
    runIntents(seed, { witness: witnessOf(seen[2]) });
    runBlind(seed, { witness: witnessOf(seen[3]) });
  }
  return seen;
}

function printMix(seen: Seen): void {
  console.log(`Machine "${MACHINE}" (${[...config.devices.keys()].join(', ')}), kernel ${KERNEL}.`);
  console.log(`Sequences of 1 to ${LONGEST} drawn commands, in the walk also the closing of all that is open.\n`);
  const columns = ['walk', 'mix of npm test', 'fc.commands, intents', 'fc.commands, blind'];
  printTable(
    ['the mix', ...columns],
    [
      ['steps looked at', ...seen.map(({ steps: count }) => whole(count))],
      ['that succeed', ...seen.map(({ steps: count, succeeded }) => percent(succeeded / count))],
      ['live areas, mean', ...seen.map(({ steps: count, liveAreas }) => (liveAreas / count).toFixed(1))],
    ],
  );
  const tallies = seen.map(byCommand);
  const often = (name: string): number => (tallies[0] as Map<string, number>).get(name) ?? 0;
  const names = [...new Set(tallies.flatMap((tally) => [...tally.keys()]))].sort((a, b) => often(b) - often(a));
  printTable(
    ['share of each command', ...columns],
    names.map((name) => [
      name,
      ...tallies.map((tally, i) => percent((tally.get(name) ?? 0) / (seen[i] as Coverage).steps)),
    ]),
  );
}

/** Coverage counts pairs, "command answer". */
function byCommand({ pairs }: Coverage): Map<string, number> {
  const tally = new Map<string, number>();
  for (const [pair, count] of pairs) {
    const [name = ''] = pair.split(' ');
    tally.set(name, (tally.get(name) ?? 0) + count);
  }
  return tally;
}
