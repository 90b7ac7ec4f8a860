/** `shootdown race --schedule`: one race from one start, run once and drawn, as a failure has it. */
import { Replay } from '../explore/replay.ts';
import { neverCame, readSchedule, showSchedule } from '../explore/schedule.ts';
import { Search, tellRun } from '../properties/races/search.ts';
import { trialOf } from '../properties/races/trial.ts';
import type { Chosen } from './race-choice.ts';
import { printFailure, writePicture } from './race-told.ts';
import { UsageError } from './usage.ts';

/**
 * The exit code, by what was judged. A schedule that was kept from a failure may be longer than the run is now that it
 * is mended: it is followed as far as the run goes. Fails with a UsageError where it hands over to no thread.
 */
export function raceOnce(chosen: Chosen, text: string, svg: string | undefined): number {
  const schedule = readSchedule(text);
  if (schedule === undefined) throw new UsageError(`--schedule takes a schedule such as "3>1 0>2", not "${text}"`);
  const trial = trialOf(chosen.table, chosen.race, chosen.one);
  let length = 0;
  // Of a run, because kernel workers take their turns with the threads of the table.
  trial.judge((_, { runs }) => {
    length = runs.length;
    return 0;
  });
  const wrong = schedule.find(({ to }) => to < 1 || to >= length);
  if (wrong !== undefined) {
    const places = length < 3 ? '1' : `1 to ${length - 1}`;
    const why = `of ${length} threads, the others are ${places} on`;
    throw new UsageError(`--schedule: ${showSchedule([wrong])} hands over ${wrong.to} places round the queue; ${why}`);
  }
  const replay = new Replay(schedule);
  const search = new Search(trial, replay);
  const failure = search.run();
  if (failure !== undefined) {
    printFailure(chosen, failure, svg);
    return 1;
  }
  const told = [trial.title, '', ...tellRun({ trial, schedule })];
  const [ended] = search.seen.keys();
  console.log(`${told.join('\n')}\n\nit ends as it may: ${ended}`);
  const shorter = neverCame(replay.follower, schedule, search.steps);
  if (shorter !== undefined) console.log(shorter);
  if (svg !== undefined) writePicture(svg, told);
  return 0;
}
