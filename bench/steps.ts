/**
 * Checked steps a second on one core: the sequential property's own walk, everything on, beside fast-check's own
 * model-based testing of the same implementation against the same model. Each has a process of its own, as whoever uses
 * it has.
 */
import { Coverage } from '../properties/coverage.ts';
import { roundsApart } from './apart.ts';
import { floor } from './floor.ts';
import { ASKED, config, KERNEL, LONGEST, MACHINE, STATED_MIX } from './mix.ts';
import { median, ratio, spread } from './rounds.ts';
import { MIXES, ROWS, runWalk, type Sample, witnessOf } from './steps-rows.ts';
import { percent, printTable, times, whole } from './table.ts';

const ROUNDS = 7;
const MILLISECONDS = 500;
/** Every competitor runs for fifteen seconds before anything counts: so long its code becomes faster. */
const WARMING_UP = 30;

export async function steps(): Promise<void> {
  const seen = mixesSeen();
  printMixes(seen);
  const names = ROWS.map(({ name }) => name);
  const costs = await roundsApart(new URL('steps-apart.ts', import.meta.url), names, ROUNDS, MILLISECONDS, WARMING_UP);
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
  console.log(
    `\nMedians of ${ROUNDS} rounds, in turn, each in a process of its own; drawing and closing count for all.`,
  );
  console.log('Targets: 150,000 steps/s of the walk, and 3× what plain fc.commands does.\n');
  floor((seed) => runWalk(seed, STATED_MIX));
}

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
