/** `shootdown race`: the races of the tables under a strategy, for as long as one likes. */
import { writeFileSync } from 'node:fs';
import { drawingSvg } from '../explore/drawing-svg.ts';
import { showSchedule } from '../explore/schedule.ts';
import { missingOf } from '../properties/races/judge.ts';
import { nameOf, type Step } from '../properties/races/race.ts';
import { type Failure, Search, shrinkFailure, tell } from '../properties/races/search.ts';
import { type CaseTrial, trialOf } from '../properties/races/trial.ts';
import { duration, readArguments, wholeNumber } from './arguments.ts';
import { Progress } from './progress.ts';
import { type Chosen, chosen, listing } from './race-choice.ts';
import { raceRandom } from './race-random.ts';
import { seedOf } from './seeds.ts';
import { type Chooses, replayOf, strategyOf } from './strategies.ts';
import { UsageError } from './usage.ts';

/** Schedules, of each race from each start, under a strategy that never ends. */
const DEFAULT_RUNS = 500;
/** Schedules between two looks at the clock and at Ctrl-C. */
const BATCH = 50;

/** A race from one start under the strategy. */
interface Entry extends Chosen {
  readonly trial: CaseTrial;
  readonly search: Search<Step>;
}

export async function race(args: readonly string[]): Promise<number> {
  const { values, positionals } = readArguments(args, {
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
  const choices = chosen(positionals, values.start);
  if (values.list === true) {
    console.log(listing(choices).join('\n'));
    return 0;
  }
  const chooses = choosesOf(choices, values.strategy, values.schedule);
  const entries = choices.map((choice, i): Entry => {
    const trial = trialOf(choice.table, choice.race, choice.one);
    return { ...choice, trial, search: new Search(trial, chooses.make(seedOf(seed, i))) };
  });
  console.log(`seed ${seed}`);
  const most = runs ?? (limit !== undefined || chooses.ends ? Number.POSITIVE_INFINITY : DEFAULT_RUNS);
  const failure = await run(entries, most, limit);
  if (failure !== undefined) return printFailure(failure, values.svg);
  const lost = printTable(entries, chooses.whole);
  console.log(lost ? '\nan end that is allowed does not come about' : '\nnothing broken');
  return lost ? 1 : 0;
}

const freshSeed = (): number => Math.floor(Math.random() * 2 ** 31);

function choosesOf(choices: readonly Chosen[], strategy: string | undefined, schedule: string | undefined): Chooses {
  if (schedule === undefined) return strategyOf(strategy);
  if (strategy !== undefined) throw new UsageError('--schedule takes no --strategy: it says who goes when');
  if (choices.length > 1)
    throw new UsageError('--schedule is of one race from one start: name it, and give its --start');
  return replayOf(schedule);
}

/** All searches in turn, until they have nothing new or the time is up; what failed first. */
async function run(
  entries: readonly Entry[],
  most: number,
  limit = Number.POSITIVE_INFINITY,
): Promise<{ readonly entry: Entry; readonly failure: Failure<Step> } | undefined> {
  const progress = new Progress(true);
  let interrupted = false;
  const stop = (): void => {
    interrupted = true;
  };
  process.once('SIGINT', stop);
  const begin = performance.now();
  const over = (): boolean => interrupted || performance.now() - begin >= limit;
  const isDone = ({ search: { complete, explored, pruned } }: Entry): boolean => complete || explored + pruned >= most;
  let failed: { readonly entry: Entry; readonly failure: Failure<Step> } | undefined;
  for (let going = entries; going.length > 0 && failed === undefined && !over(); ) {
    for (const entry of going) {
      const { search } = entry;
      const failure = search.run(Math.min(BATCH, most - search.explored - search.pruned));
      if (failure !== undefined) failed = { entry, failure };
      progress.showLine(() => `${going.length} of ${entries.length} starts to go on with, ${sumOf(entries, begin)}`);
      await new Promise((resolve) => setImmediate(resolve));
      if (failed !== undefined || over()) break;
    }
    going = going.filter((entry) => !isDone(entry));
  }
  process.off('SIGINT', stop);
  progress.end();
  if (interrupted) console.log('interrupted');
  console.log(`${sumOf(entries, begin)}\n`);
  return failed;
}

function sumOf(entries: readonly Entry[], begin: number): string {
  const seconds = (performance.now() - begin) / 1000;
  const [schedules, steps] = [sum(entries, ({ explored }) => explored), sum(entries, (search) => search.steps)];
  return `${schedules} schedules, ${Math.round(steps / seconds).toLocaleString('en')} steps/s, ${seconds.toFixed(1)} s`;
}

const sum = (entries: readonly Entry[], count: (search: Search<Step>) => number): number =>
  entries.reduce((total, { search }) => total + count(search), 0);

/** A line for each race; whether an end is missing. */
function printTable(entries: readonly Entry[], whole: boolean): boolean {
  let lost = false;
  for (const race of new Set(entries.map((entry) => entry.race))) {
    const own = entries.filter((entry) => entry.race === race);
    const [{ table }] = own as [Entry];
    const all = own.reduce((total, { one }) => total + one.ends.length, 0);
    const pruned = sum(own, (search) => search.pruned);
    const complete = whole && own.every(({ search }) => search.complete);
    console.log(
      `${nameOf(table, race).padEnd(11)} ${sum(own, ({ seen }) => seen.size)} of ${all} ends in ` +
        `${sum(own, ({ explored }) => explored)} schedules${pruned > 0 ? `, ${pruned} given up` : ''}` +
        `${complete ? ', all there are' : ''}`,
    );
    for (const { one, number, trial, search } of own) {
      if (!whole || !search.complete) continue;
      for (const words of missingOf(trial, search.seen)) {
        lost = true;
        console.log(`  from ${number}, ${one.from}: never ${words}`);
      }
    }
  }
  return lost;
}

function printFailure(
  { entry, failure }: NonNullable<Awaited<ReturnType<typeof run>>>,
  svg: string | undefined,
): number {
  const small = shrinkFailure(failure);
  const told = tell(small);
  console.log(told.join('\n'));
  if (svg !== undefined) writePicture(svg, told);
  // Of fewer threads there is no race to ask for.
  const { schedule } = small.trial.threads.flat().length === failure.trial.threads.flat().length ? small : failure;
  const { table, race, number } = entry;
  const how = `--start ${number} --schedule "${showSchedule(schedule)}"`;
  console.log(`\nrun it again:  npx shootdown race ${nameOf(table, race)} ${how}`);
  return 1;
}

function writePicture(path: string, told: readonly string[]): void {
  try {
    writeFileSync(path, drawingSvg(told));
  } catch (error) {
    throw new UsageError(`--svg: ${error instanceof Error ? error.message : String(error)}`);
  }
}
