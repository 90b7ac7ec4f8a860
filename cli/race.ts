/** `shootdown race`: the races of the registry under a strategy, for as long as one likes. */
import { writeFileSync } from 'node:fs';
import { Deepening } from '../explore/deepening.ts';
import { drawingSvg } from '../explore/drawing-svg.ts';
import { Exhaustive } from '../explore/exhaustive.ts';
import { Pct } from '../explore/pct.ts';
import { RandomWalk } from '../explore/random-walk.ts';
import { Reduced } from '../explore/reduced.ts';
import { Replay } from '../explore/replay.ts';
import { RoundRobin } from '../explore/round-robin.ts';
import { readSchedule, showSchedule } from '../explore/schedule.ts';
import type { Strategy } from '../explore/strategy.ts';
import { missing } from '../properties/race-search/judge.ts';
import type { Race, Start } from '../properties/race-search/race.ts';
import { RACES } from '../properties/race-search/registry.ts';
import { type Failure, Search, shrinkFailure, tell } from '../properties/race-search/search.ts';
import { duration, readArguments, wholeNumber } from './arguments.ts';
import { Progress } from './progress.ts';
import { seedOf } from './seeds.ts';
import { UsageError } from './usage.ts';

/** Schedules, of each race from each start, under a strategy that never ends. */
const DEFAULT_RUNS = 500;
/** Schedules between two looks at the clock and at Ctrl-C. */
const BATCH = 50;
const DEFAULT_STRATEGY = 'pct:3';

export async function race(args: readonly string[]): Promise<number> {
  const { values, positionals } = readArguments(args, {
    strategy: { type: 'string' },
    seed: { type: 'string' },
    runs: { type: 'string' },
    time: { type: 'string' },
    start: { type: 'string' },
    schedule: { type: 'string' },
    svg: { type: 'string' },
  });
  const seed = values.seed === undefined ? freshSeed() : wholeNumber('seed', values.seed, 0);
  const limit = values.time === undefined ? undefined : duration('time', values.time);
  const runs = values.runs === undefined ? undefined : wholeNumber('runs', values.runs, 1);
  const make = strategyOf(values.strategy, values.schedule);
  const searches = startsOf(racesNamed(positionals), values.start).map(
    ([race, start], i) => new Search(race, start, make(seedOf(seed, i))),
  );
  console.log(`seed ${seed}`);
  const ends = limit !== undefined || values.schedule !== undefined || comesToAnEnd(values.strategy);
  const most = runs ?? (ends ? Number.POSITIVE_INFINITY : DEFAULT_RUNS);
  const { failure, seconds, interrupted } = await run(searches, most, limit);
  if (interrupted) console.log('interrupted');
  const schedules = searches.reduce((sum, { explored }) => sum + explored, 0);
  const steps = searches.reduce((sum, search) => sum + search.steps, 0);
  console.log(`${schedules} schedules, ${steps} steps in ${seconds.toFixed(1)} s\n`);
  if (failure !== undefined) return printFailure(failure, values.svg);
  const lost = printTable(searches, values.schedule === undefined && isWhole(values.strategy));
  console.log(lost ? '\nan outcome that is allowed does not occur' : '\nnothing broken');
  return lost ? 1 : 0;
}

const freshSeed = (): number => Math.floor(Math.random() * 2 ** 31);

function racesNamed(names: readonly string[]): readonly Race[] {
  if (names.length === 0) return RACES;
  return names.map((name) => {
    const found = RACES.find((each) => each.name === name);
    if (found !== undefined) return found;
    throw new UsageError(`no race is called "${name}"; there are ${RACES.map((each) => each.name).join(', ')}`);
  });
}

function startsOf(races: readonly Race[], only: string | undefined): [Race, Start][] {
  const all = races.flatMap((race) => race.starts.map((start): [Race, Start] => [race, start]));
  const found = only === undefined ? all : all.filter(([, { name }]) => name === only);
  if (found.length > 0) return found;
  throw new UsageError(`no start is called "${only}"; there are ${all.map(([, { name }]) => name).join(', ')}`);
}

/** A strategy of its own for each start of each race. */
function strategyOf(text: string | undefined, schedule: string | undefined): (seed: number) => Strategy {
  if (schedule !== undefined) {
    const read = readSchedule(schedule);
    if (read === undefined) throw new UsageError(`--schedule takes a schedule such as "3>1 0>2", not "${schedule}"`);
    if (text !== undefined) throw new UsageError('--schedule takes no --strategy: it says who goes when');
    return () => new Replay(read);
  }
  const [name = '', number, ...more] = (text ?? DEFAULT_STRATEGY).split(':');
  const parameter = number === undefined ? undefined : wholeNumber('strategy', number, name === 'pct' ? 1 : 0);
  const takes = name === 'pct' || name === 'exhaustive';
  if (more.length === 0 && (takes || parameter === undefined)) {
    switch (name) {
      case 'random':
        return (seed) => new RandomWalk(seed);
      case 'pct':
        return (seed) => new Pct({ seed, depth: parameter ?? 3 });
      case 'round-robin':
        return () => new RoundRobin();
      case 'exhaustive':
        return () => new Exhaustive(parameter);
      case 'deepening':
        return () => new Deepening();
      case 'reduced':
        return () => new Reduced();
    }
  }
  throw new UsageError(
    `--strategy takes random, pct, pct:D, round-robin, exhaustive, exhaustive:N, deepening or reduced, not "${text}"`,
  );
}

/** Whether the strategy has nothing new some time. */
const comesToAnEnd = (strategy = DEFAULT_STRATEGY): boolean => !/^(random|pct)/.test(strategy);

/** Whether the strategy leaves out no outcome, when it comes to its end. */
const isWhole = (strategy: string | undefined): boolean =>
  ['exhaustive', 'deepening', 'reduced'].includes(strategy ?? '');

interface Ran {
  readonly failure: Failure | undefined;
  readonly seconds: number;
  readonly interrupted: boolean;
}

async function run(searches: readonly Search[], most: number, limit: number | undefined): Promise<Ran> {
  const progress = new Progress(true);
  let interrupted = false;
  const stop = (): void => {
    interrupted = true;
  };
  process.once('SIGINT', stop);
  const begin = performance.now();
  const seconds = (): number => (performance.now() - begin) / 1000;
  const over = (): boolean => interrupted || (limit !== undefined && seconds() * 1000 >= limit);
  let failure: Failure | undefined;
  for (let going: readonly Search[] = searches; going.length > 0 && failure === undefined && !over(); ) {
    for (const search of going) {
      failure = search.run(Math.min(BATCH, most - search.explored - search.pruned));
      progress.showLine(() => lineOf(searches, seconds()));
      await new Promise((resolve) => setImmediate(resolve));
      if (failure !== undefined || over()) break;
    }
    going = going.filter(({ complete, explored, pruned }) => !complete && explored + pruned < most);
  }
  process.off('SIGINT', stop);
  progress.end();
  return { failure, seconds: seconds(), interrupted };
}

function lineOf(searches: readonly Search[], seconds: number): string {
  const schedules = searches.reduce((sum, { explored }) => sum + explored, 0);
  const steps = searches.reduce((sum, search) => sum + search.steps, 0);
  return `${schedules} schedules, ${Math.round(steps / seconds).toLocaleString('en')} steps/s, ${seconds.toFixed(0)} s`;
}

/** Whether an outcome is missing. */
function printTable(searches: readonly Search[], whole: boolean): boolean {
  let lost = false;
  for (const race of new Set(searches.map((search) => search.race))) {
    const own = searches.filter((search) => search.race === race);
    const seen = new Set(own.flatMap((search) => [...search.seen]));
    const [explored, pruned] = [sum(own.map((it) => it.explored)), sum(own.map((it) => it.pruned))];
    const all = own.every(({ complete }) => complete) && own.length === race.starts.length;
    const more = `${pruned > 0 ? `, ${pruned} given up` : ''}${whole && all ? ', all there are' : ''}`;
    console.log(`${race.name}: ${seen.size} of ${race.allowed.length} outcomes in ${explored} schedules${more}`);
    if (!whole || !all) continue;
    for (const words of missing(race, seen)) {
      lost = true;
      console.log(`  does not occur: ${words}`);
    }
  }
  return lost;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);

function printFailure(failure: Failure, svg: string | undefined): number {
  const told = tell(shrinkFailure(failure));
  console.log(told.join('\n'));
  if (svg !== undefined) writePicture(svg, told);
  const { race, start, schedule } = failure;
  const how = `--start "${start.name}" --schedule "${showSchedule(schedule)}"`;
  console.log(`\nas it was found:  npx shootdown race ${race.name} ${how}`);
  return 1;
}

function writePicture(path: string, told: readonly string[]): void {
  try {
    writeFileSync(path, drawingSvg(told));
  } catch (error) {
    throw new UsageError(`--svg: ${error instanceof Error ? error.message : String(error)}`);
  }
}
