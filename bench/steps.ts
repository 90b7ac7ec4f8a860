/**
 * Checked steps a second on one core: the sequential property's own walk, everything on, beside fast-check's own
 * model-based testing of the same implementation against the same model.
 */
import * as fc from 'fast-check';
import { Coverage } from '../properties/coverage.ts';
import { type Witness, walk } from '../properties/walk.ts';
import { runBlind, runIntents } from './baseline.ts';
import { floor } from './floor.ts';
import {
  ASKED,
  config,
  FULLER_MIX,
  KERNEL,
  LONGEST,
  MACHINE,
  type Mix,
  SEQUENCES,
  STATED_MIX,
  TEST_MIX,
} from './mix.ts';
import { median, ratio, rounds, spread } from './rounds.ts';
import { percent, printTable, times, whole } from './table.ts';

const ROUNDS = 7;
const MILLISECONDS = 500;
/** Every competitor runs for four seconds before anything counts. */
const WARMING_UP = 8;

/** What takes steps, and what they consist of. */
interface Row {
  readonly name: string;
  readonly what: string;
  /** The name of the mix in the tables of mixes. */
  readonly mix: keyof typeof MIXES;
  /** Some sequences; how many steps that was. */
  readonly take: (seed: number) => number;
}

const ROWS: readonly Row[] = [
  {
    name: 'the walk of the property',
    what: 'draws intents, resolves, runs both worlds, compares what the step changed, every 64th time all, and closes',
    mix: 'stated',
    take: (seed) => runWalk(seed, STATED_MIX),
  },
  {
    name: 'the same, and coverage',
    what: 'also counts answers and witnesses, as `npm test` and `check` do',
    mix: 'stated',
    take: (seed) => runWalk(seed, STATED_MIX, witnessOf(new Coverage())),
  },
  {
    name: 'the same, more areas',
    what: 'the walk alone, on what was the stated mix before: for comparison with figures of that time',
    mix: 'more areas',
    take: (seed) => runWalk(seed, FULLER_MIX),
  },
  {
    name: 'the same, mix of npm test',
    what: 'the walk alone, on more rare commands and fewer wrong ones',
    mix: 'npm test',
    take: (seed) => runWalk(seed, TEST_MIX),
  },
  {
    name: 'fc.commands, plain',
    what: 'draws the same intents one by one, and closes, too; compares all after each step: nobody knows what changed',
    mix: 'fc.commands',
    take: (seed) => runIntents(seed, { wholeEvery: 1 }),
  },
  {
    name: 'the same, compared as the walk',
    what: 'with our knowledge of what a step changed: what fc.commands itself costs',
    mix: 'fc.commands',
    take: (seed) => runIntents(seed),
  },
  {
    name: 'fc.commands, blind',
    what: 'compares as the walk does; arguments are drawn without a look at the state, and most are refused early',
    mix: 'blind',
    take: (seed) => runBlind(seed),
  },
];

export function steps(): void {
  const seen = mixesSeen();
  printMixes(seen);
  let seed = 1;
  const competitors = ROWS.map(({ name, take }) => ({ name, run: () => take(seed++) }));
  const costs = rounds(competitors, ROUNDS, MILLISECONDS, WARMING_UP);
  printTable(
    ['checked steps, one core', 'steps/s', 'that succeed/s', 'µs/step', 'spread', 'walk is faster'],
    ROWS.map(({ name, mix }, i) => {
      const cost = costs[i] ?? [];
      const rate = 1e9 / median(cost);
      const { succeeded, steps: count } = seen.get(mix) as Coverage;
      return [
        name,
        whole(rate),
        whole((rate * succeeded) / count),
        (1e6 / rate).toFixed(2),
        percent(spread(cost)),
        times(ratio(cost, costs[0] ?? [])),
      ];
    }),
  );
  for (const { name, what } of ROWS) console.log(`${name}: ${what}.`);
  console.log(`\nMedians of ${ROUNDS} rounds, in turn; drawing and closing count for all.`);
  console.log('Targets: 150,000 steps/s of the walk, and 3× what plain fc.commands does.\n');
  floor((seed) => runWalk(seed, STATED_MIX));
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

/** Takes some sequences of a mix, and somebody looks on. */
type Sample = (seed: number, witness: Witness) => void;

/** The mixes, as those who take them draw and resolve them. */
const MIXES = {
  stated: (seed, witness) => runWalk(seed, STATED_MIX, witness),
  'more areas': (seed, witness) => runWalk(seed, FULLER_MIX, witness),
  'npm test': (seed, witness) => runWalk(seed, TEST_MIX, witness),
  'fc.commands': (seed, witness) => runIntents(seed, { witness }),
  blind: (seed, witness) => runBlind(seed, { witness }),
} satisfies Record<string, Sample>;

/** What the mixes really consist of. */
const mixesSeen = (): ReadonlyMap<string, Coverage> =>
  new Map(Object.entries(MIXES).map(([name, sample]) => [name, seenIn(sample)]));

function seenIn(sample: Sample): Coverage {
  const coverage = new Coverage();
  for (let seed = 1; seed <= 5; seed++) sample(seed, witnessOf(coverage));
  return coverage;
}

function printMixes(mixes: ReadonlyMap<string, Coverage>): void {
  const seen = [...mixes.values()];
  const columns = [...mixes.keys()];
  console.log(`Machine "${MACHINE}" (${[...config.devices.keys()].join(', ')}), kernel ${KERNEL}.`);
  console.log(`Sequences of 1 to ${LONGEST} drawn commands, and the closing of all that is open.\n`);
  printTable(
    ['the mix', 'asked', ...columns],
    [
      ['steps looked at', '', ...seen.map(({ steps: count }) => whole(count))],
      [
        'that succeed',
        percent(ASKED.successful),
        ...seen.map(({ steps: count, succeeded }) => percent(succeeded / count)),
      ],
      [
        'live areas, mean',
        `${ASKED.liveAreas.toFixed(1)} or more`,
        ...seen.map(({ steps: count, liveAreas }) => (liveAreas / count).toFixed(1)),
      ],
      ['devices', '2', ...seen.map(() => String(config.devices.size))],
    ],
  );
  const tallies = seen.map(byCommand);
  const often = (name: string): number => tallies[0]?.get(name) ?? 0;
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
