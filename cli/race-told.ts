/** What `shootdown race` says of its runs: a table of those that pass, and the one that fails, drawn. */
import { closeSync, openSync, unlinkSync, writeFileSync } from 'node:fs';
import { drawingSvg } from '../explore/drawing-svg.ts';
import type { Schedule } from '../explore/interleave.ts';
import { showSchedule } from '../explore/schedule.ts';
import { missingOf } from '../properties/races/judge.ts';
import { regressionOfRace } from '../properties/races/kept.ts';
import { nameOf, type Step } from '../properties/races/race.ts';
import { type Failure, type Search, shrinkFailure, tell } from '../properties/races/search.ts';
import type { CaseTrial } from '../properties/races/trial.ts';
import type { Regression } from '../properties/regression.ts';
import type { Chosen } from './race-choice.ts';
import { tryToKeep, unwritten } from './regressions.ts';
import { UsageError } from './usage.ts';

/** A race from one start under the strategy. */
export interface Entry extends Chosen {
  readonly trial: CaseTrial;
  readonly search: Search<Step>;
}

export const sum = (entries: readonly Entry[], count: (search: Search<Step>) => number): number =>
  entries.reduce((total, { search }) => total + count(search), 0);

export const schedules = (n: number): string => `${n} schedule${n === 1 ? '' : 's'}`;

/** A line for each race; whether an end is missing. */
export function printTable(entries: readonly Entry[], whole: boolean): boolean {
  let lost = false;
  for (const race of new Set(entries.map((entry) => entry.race))) {
    const own = entries.filter((entry) => entry.race === race);
    console.log(lineOf(own, whole));
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

function lineOf(own: readonly Entry[], whole: boolean): string {
  const [{ table, race }] = own as [Entry];
  const seen = sum(own, (search) => search.seen.size);
  const all = own.reduce((total, { one }) => total + one.ends.length, 0);
  const pruned = sum(own, (search) => search.pruned);
  const complete = own.every(({ search }) => search.complete);
  return [
    `${nameOf(table, race).padEnd(11)} ${seen} of ${all} ends in ${schedules(sum(own, ({ explored }) => explored))}`,
    ...(pruned > 0 ? [`${pruned} given up`] : []),
    ...(complete && whole ? ['all there are'] : []),
    ...(!complete && seen < all ? ['so far'] : []),
  ].join(', ');
}

/** Made small; how to run it again is said before it is drawn into a file, which may fail. */
export function printFailure({ table, race, number }: Chosen, failure: Failure<Step>, svg: string | undefined): void {
  const small = shrinkFailure(failure);
  const told = tell(small);
  console.log(told.join('\n'));
  // Of fewer threads there is no race to ask for.
  const { schedule } = small.trial.threads.flat().length === failure.trial.threads.flat().length ? small : failure;
  console.log(`\nrun it again:  ${commandOf(nameOf(table, race), number, schedule)}`);
  console.log(keptLine(regressionOfRace(small, failure)));
  if (svg !== undefined) writePicture(svg, told);
}

/** Where it was kept, or why not. */
function keptLine(regression: Regression | string): string {
  if (typeof regression === 'string') return `it has no trace: ${regression}`;
  const kept = tryToKeep(regression);
  return 'file' in kept ? `replay it:     npx shootdown replay ${kept.file}` : unwritten(kept);
}

const commandOf = (name: string, start: number, schedule: Schedule): string =>
  `npx shootdown race ${name} --start ${start} --schedule "${showSchedule(schedule)}"`;

/** What was found counts for more than its picture: that it can not be written is said in a line. */
export function writePicture(path: string, told: readonly string[]): void {
  try {
    writeFileSync(path, drawingSvg(told));
  } catch (error) {
    console.error(`shootdown: --svg: ${messageOf(error)}`);
  }
}

/** Before the first run; leaves what is there, and nothing that was not. Fails with a UsageError. */
export function checkWritable(path: string): void {
  try {
    closeSync(openSync(path, 'r+'));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT'))
      throw new UsageError(`--svg: ${messageOf(error)}`);
    try {
      closeSync(openSync(path, 'wx'));
    } catch (cause) {
      throw new UsageError(`--svg: ${messageOf(cause)}`);
    }
    unlinkSync(path);
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
