/** `shootdown check --faults` and `--raced`: calls that fail, for as long as one likes. */
import { FaultCoverage } from '../properties/faults/coverage.ts';
import { checkFaults } from '../properties/faults/property.ts';
import { RacedCoverage } from '../properties/raced-faults/coverage.ts';
import { checkRaced, type RacedFailure } from '../properties/raced-faults/property.ts';
import { regressionOf, reportOf } from '../properties/regression.ts';
import { verdictOf } from './progress.ts';
import { reportKept, tryToKeep } from './regressions.ts';
import { mostOf, searchUntil, type Wanted } from './search.ts';
import { seedOf } from './seeds.ts';

const DEFAULT_SWEEPS = 2000;
/** Each is raced at some points and places. */
const DEFAULT_STATES = 500;
/** Sweeps in a batch. */
const BATCH = 25;
/** The most commands before the one that fails. */
const LONGEST = 60;

/** What is searched: one batch after the other. */
interface Search {
  readonly most: number;
  /** What was done so far. */
  readonly count: () => number;
  /** What is wrong, in lines for a person; undefined when nothing is. */
  readonly batch: (seed: number, runs: number) => readonly string[] | undefined;
  readonly said: () => string;
  readonly table: () => readonly string[];
}

/** Calls that fail with nobody else there. */
export function checkFaultSweeps(wanted: Wanted): Promise<number> {
  const coverage = new FaultCoverage();
  return search(wanted, {
    most: DEFAULT_SWEEPS,
    count: () => coverage.sweeps,
    batch: (seed, runs) => {
      const { failure } = checkFaults({ seed, runs, longest: LONGEST }, coverage);
      return failure && reportKept(tryToKeep(regressionOf(failure)), (file) => reportOf(failure, file));
    },
    said: () => `${coverage.sweeps} sweeps, ${coverage.faults} faults`,
    table: () => coverage.table,
  });
}

/** Calls that fail while memory is taken back. */
export function checkRacedFaults(wanted: Wanted): Promise<number> {
  const coverage = new RacedCoverage();
  let states = 0;
  return search(wanted, {
    most: DEFAULT_STATES,
    count: () => states,
    batch: (seed, runs) => {
      states += runs;
      const failure = checkRaced({ seed, runs, longest: LONGEST }, coverage);
      return failure && toldRaced(failure, `npx shootdown check --faults --raced --seed ${seed} --runs ${runs}`);
    },
    said: () => `${states} states of ${coverage.kinds.size} kinds, ${coverage.races} races`,
    table: () => coverage.table,
  });
}

/** Kept as a trace, where it is one. */
function toldRaced({ message, regression }: RacedFailure, again: string): readonly string[] {
  const told = message.split('\n');
  if (regression === undefined) return [...told, '', `it has no trace; run it again:  ${again}`];
  return reportKept(tryToKeep(regression), (file) =>
    file === undefined ? told : [...told, '', `replay it:  npx shootdown replay ${file}`],
  );
}

async function search({ seed, runs, limit }: Wanted, { most, count, batch, said, table }: Search): Promise<number> {
  console.log(`seed ${seed}`);
  const last = mostOf(runs, limit, most);
  const { failure, interrupted, seconds } = await searchUntil({
    most: last,
    limit,
    done: count,
    batch: (number) => batch(seedOf(seed, number), Math.min(BATCH, last - count())),
    line: (seconds) => `${said()}, ${seconds.toFixed(1)} s`,
  });
  console.log(`${said()} in ${seconds.toFixed(1)} s\n`);
  console.log((failure ?? [...table(), '', verdictOf('no disagreement', count(), interrupted)]).join('\n'));
  return failure === undefined ? 0 : 1;
}
