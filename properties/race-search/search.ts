/** Many runs of a race under one strategy, until one fails; the failure is made small, and told. */
import { Sketch } from '../../explore/drawing.ts';
import { type Choose, following, type Schedule } from '../../explore/interleave.ts';
import { Recorder, showSchedule } from '../../explore/schedule.ts';
import { shrink } from '../../explore/shrink.ts';
import { type Explored, explore, type Strategy } from '../../explore/strategy.ts';
import type { Command } from '../../trace/command.ts';
import { showCommand } from '../../trace/show.ts';
import { type Breach, judge } from './judge.ts';
import type { Actor, Race, Start } from './race.ts';

/** A run that failed, and the schedule that brings it about. */
export interface Failure extends Breach {
  readonly race: Race;
  readonly start: Start;
  readonly schedule: Schedule;
}

class Found extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.what);
    this.failure = failure;
  }
}

/** One race from one start, which goes on where it left off. */
export class Search {
  readonly race: Race;
  readonly start: Start;
  /** In words. */
  readonly seen = new Set<string>();
  readonly #strategy: Strategy;
  explored = 0;
  pruned = 0;
  /** The strategy has nothing new left. */
  complete = false;
  steps = 0;

  constructor(race: Race, start: Start, strategy: Strategy) {
    this.race = race;
    this.start = start;
    this.#strategy = strategy;
  }

  /** So many runs more, as far as there are any; the first failure. */
  run(runs: number): Failure | undefined {
    try {
      this.#add(explore(this.#strategy, (choose) => this.#once(choose), runs));
    } catch (error) {
      if (error instanceof Found) return error.failure;
      throw error;
    }
    return undefined;
  }

  #once(choose: Choose): void {
    const recorder = new Recorder((queueLength, at) => {
      this.steps++;
      return choose(queueLength, at);
    });
    const { race, start } = this;
    const ended = judge(race, start, recorder.choose);
    if (typeof ended === 'string') this.seen.add(ended);
    else throw new Found({ race, start, schedule: recorder.schedule, ...ended });
  }

  #add({ explored, pruned, complete }: Explored): void {
    this.explored += explored;
    this.pruned += pruned;
    this.complete = complete;
  }
}

/** A command of an actor, or all of one that is kernel code. */
interface Part {
  readonly name: string;
  readonly part: Command | Exclude<Actor['does'], readonly Command[]>;
}

const LIMITS = { preemptions: 3, schedules: 2000 };

/**
 * The failure with the fewest threads, commands and preemptions. What is allowed is allowed to all actors together, so
 * of an outcome that is not, only the schedule shrinks.
 */
export function shrinkFailure(failure: Failure): Failure {
  const { race, start, kind, schedule } = failure;
  const whole = race.actors.map(({ name, does }) => {
    const parts = typeof does === 'function' ? [does] : does;
    return parts.map((part): Part => ({ name, part }));
  });
  const fails = (threads: readonly (readonly Part[])[], choose: Choose): boolean => {
    if (kind === 'outcome' && threads.flat().length < whole.flat().length) return false;
    const ended = judge(withActors(race, threads), start, choose);
    return typeof ended !== 'string' && ended.kind === kind;
  };
  const small = shrink<Part>({ threads: whole, schedule }, fails, LIMITS);
  const smallRace = withActors(race, small.threads);
  const ended = judge(smallRace, start, following(small.schedule));
  if (typeof ended === 'string') return failure;
  return { ...ended, race: smallRace, start, schedule: small.schedule };
}

const withActors = (race: Race, threads: readonly (readonly Part[])[]): Race => ({
  ...race,
  actors: threads.map((parts): Actor => {
    const [{ name, part }] = parts as readonly [Part];
    return { name, does: typeof part === 'function' ? part : parts.map((each) => each.part as Command) };
  }),
});

/** The failure for a person: what was done before, who took part, and the run drawn. */
export function tell({ race, start, schedule, kind, what }: Failure): string[] {
  const sketch = new Sketch(following(schedule));
  judge(race, start, sketch.choose);
  const actors = race.actors.map(({ name, does }) => {
    const commands = typeof does === 'function' ? ['kernel code'] : does.map(showCommand);
    return `  ${name}: ${commands.join(', ')}`;
  });
  return [
    `BROKEN: ${kind}, in the race ${race.name} (${race.source}), behaving as Linux ${race.kernel}`,
    '',
    ...start.commands.map((command) => `  ${showCommand(command)}`),
    'and then together',
    ...actors,
    `with the schedule ${showSchedule(schedule)}`,
    '',
    ...sketch.lines(what),
  ];
}
