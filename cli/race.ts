/** `shootdown race`: the races of the tables under a strategy, for as long as one likes. */
import type { Step } from '../properties/races/race.ts';
import { type Failure, Search } from '../properties/races/search.ts';
import { trialOf } from '../properties/races/trial.ts';
import { duration, readArguments, wholeNumber } from './arguments.ts';
import { verdictOf } from './progress.ts';
import { chosen, listing } from './race-choice.ts';
import { raceRandom } from './race-random.ts';
import { raceOnce } from './race-schedule.ts';
import { checkWritable, type Entry, printFailure, printTable, schedules, sum } from './race-told.ts';
import { searchUntil } from './search.ts';
import { seedOf } from './seeds.ts';
import { strategyOf } from './strategies.ts';
import { UsageError } from './usage.ts';

/** Schedules, of each race from each start, under a strategy that never ends. */
const DEFAULT_RUNS = 500;
/** Schedules in a batch. */
const BATCH = 50;

export async function race(args: readonly string[]): Promise<number> {
  const { values, positionals } = readArguments('race', args, {
    strategy: { type: 'string' },
    seed: { type: 'string' },
    runs: { type: 'string' },
    time: { type: 'string' },
    start: { type: 'string' },
    schedule: { type: 'string' },
    svg: { type: 'string' },
    list: { type: 'boolean' },
    random: { type: 'boolean' },
  });
  const seed = values.seed === undefined ? freshSeed() : wholeNumber('seed', values.seed, 0);
  const limit = values.time === undefined ? undefined : duration('time', values.time);
  const runs = values.runs === undefined ? undefined : wholeNumber('runs', values.runs, 1);
  if (values.random === true) {
    const { start, schedule, svg, list } = values;
    if (positionals.length > 0 || [start, schedule, svg, list].some((value) => value !== undefined))
      throw new UsageError('--random draws its programs: it takes --seed, --runs, --time and --strategy alone');
    const chooses = values.strategy === undefined ? undefined : strategyOf(values.strategy);
    return await raceRandom({ seed, runs, limit, chooses });
  }
  const others = (...names: readonly (keyof typeof values)[]): boolean =>
    Object.keys(values).some((name) => !names.includes(name as keyof typeof values));
  if (values.list === true && others('list')) throw new UsageError('--list takes names of races alone');
  const choices = chosen(positionals, values.start);
  if (values.list === true) {
    console.log(listing(choices).join('\n'));
    return 0;
  }
  if (values.svg !== undefined) checkWritable(values.svg);
  if (values.schedule !== undefined) {
    if (values.strategy !== undefined) throw new UsageError('--schedule takes no --strategy: it says who goes when');
    if (others('schedule', 'start', 'svg'))
      throw new UsageError('--schedule is one run: it takes --start and --svg alone');
    const [choice, another] = choices;
    if (choice === undefined || another !== undefined)
      throw new UsageError('--schedule is of one race from one start: name it, and give its --start');
    return raceOnce(choice, values.schedule, values.svg);
  }
  const chooses = strategyOf(values.strategy);
  const entries = choices.map((choice, i): Entry => {
    const trial = trialOf(choice.table, choice.race, choice.one);
    return { ...choice, trial, search: new Search(trial, chooses.make(seedOf(seed, i))) };
  });
  console.log(`seed ${seed}`);
  const most = runs ?? (limit !== undefined || chooses.ends ? Number.POSITIVE_INFINITY : DEFAULT_RUNS);
  const { failed, interrupted } = await run(entries, most, limit);
  if (failed !== undefined) {
    printFailure(failed.entry, failed.failure, values.svg);
    return 1;
  }
  const lost = printTable(entries, chooses.whole);
  console.log(`\n${wordsOf(entries, lost, interrupted)}`);
  return lost ? 1 : 0;
}

function wordsOf(entries: readonly Entry[], lost: boolean, interrupted: boolean): string {
  if (lost) return 'an end that is allowed does not come about';
  return verdictOf(
    'nothing broken',
    sum(entries, ({ explored }) => explored),
    interrupted,
  );
}

const freshSeed = (): number => Math.floor(Math.random() * 2 ** 31);

interface Outcome {
  readonly failed: { readonly entry: Entry; readonly failure: Failure<Step> } | undefined;
  readonly interrupted: boolean;
}

/** All searches in turn, until they have nothing new or the time is up; what failed first. */
async function run(entries: readonly Entry[], most: number, limit: number | undefined): Promise<Outcome> {
  const going = [...entries];
  let next = 0;
  const { failure, interrupted, seconds } = await searchUntil({
    most: entries.length,
    limit,
    done: () => entries.length - going.length,
    batch: () => {
      const entry = going[next] as Entry;
      const { search } = entry;
      const failure = search.run(Math.min(BATCH, most - search.explored - search.pruned));
      if (search.complete || search.explored + search.pruned >= most) going.splice(next, 1);
      else next++;
      if (next >= going.length) next = 0;
      return failure && { entry, failure };
    },
    line: (seconds) => `${going.length} of ${entries.length} starts to go on with, ${sumOf(entries, seconds)}`,
  });
  console.log(`${sumOf(entries, seconds)}\n`);
  return { failed: failure, interrupted };
}

function sumOf(entries: readonly Entry[], seconds: number): string {
  const rate = Math.round(sum(entries, ({ steps }) => steps) / seconds).toLocaleString('en');
  return `${schedules(sum(entries, ({ explored }) => explored))}, ${rate} steps/s, ${seconds.toFixed(1)} s`;
}
