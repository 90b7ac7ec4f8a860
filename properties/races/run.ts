/** One run of a case: a world of its own, the actors interleaved as the chooser will, and how that ended. */
import { type Stuck, stuck } from '../../explore/blame.ts';
import { type Branch, type Choose, Interleaving } from '../../explore/interleave.ts';
import { Splat } from '../../impl/kernel/splat.ts';
import { Task } from '../../impl/kernel/thread.ts';
import { Broken } from './breach.ts';
import { endOf, wordsOf } from './look.ts';
import type { Actor, Case, Step } from './race.ts';
import { threadNames } from './show.ts';
import { Watch } from './watch.ts';
import { World } from './world.ts';

/** How a run ended when nothing was wrong. */
export interface Ended {
  readonly words: string;
  /** There when somebody has not returned. */
  readonly stuck: Stuck | undefined;
}

const WORKER = 'worker';

/** Each actor as its steps. */
export const threadsOf = (actors: readonly Actor[]): (readonly Step[])[] =>
  actors.map((actor) => ('do' in actor ? [actor] : actor));

export class Run {
  readonly #one: Case;
  readonly #world: World;

  constructor(one: Case) {
    this.#one = one;
    this.#world = new World(one);
  }

  /** A thread for each actor, and one for the work of importers, where there are any. */
  branches(): Branch<string>[] {
    const { machine, importers } = this.#world;
    const threads = threadsOf(this.#one.actors);
    const names = threadNames(threads);
    const branches = threads.map((steps, i): Branch<string> => {
      const task = new Task(names[i] as string, machine.kernel);
      return { task, thread: this.#world.inTurn(task, steps) };
    });
    if (importers.size === 0) return branches;
    return [...branches, { task: new Task(WORKER, machine.kernel), thread: this.#world.worker() }];
  }

  /** Fails with a Splat, or with what is Broken at a step, or is not as it must be at rest. */
  go(choose: Choose): Ended {
    const { machine, pieces } = this.#world;
    const { actors, fails, ends } = this.#one;
    if (fails !== undefined) machine.kernel.faults.arm(fails.nth, fails.site);
    const all = new Interleaving(this.branches());
    const watch = new Watch(machine);
    all.go(choose, ({ task }) => watch.look(task.name));
    const blocked = stuck(all.waiting.filter(({ wants }) => wants !== pieces));
    if (blocked?.verdict === 'deadlock') throw new Broken({ kind: 'deadlock', what: blocked.lines.join('; ') });
    const answers = all.answers.slice(0, actors.length).map((answer) => answer ?? 'blocked');
    const words = wordsOf(endOf(this.#world, answers, ends[0]?.extra ?? {}));
    // The machine does not know the drivers, so that it can account for all only when they have gone.
    if (blocked === undefined && this.#world.importers.size === 0) nothingLeft(machine.audit());
    return { words, stuck: blocked };
  }

  /** Close all that is open, and account for it. Nobody is under way: who is blocked keeps what it has. */
  close(): void {
    nothingLeft(this.#leftWhenClosed());
  }

  /** A splat of what closes is none of the race's, which leaves another state behind than it should. */
  #leftWhenClosed(): readonly string[] {
    try {
      return this.#world.finish();
    } catch (error) {
      if (!(error instanceof Splat)) throw error;
      return [`when all is closed: ${error.message}`];
    }
  }
}

function nothingLeft(left: readonly string[]): void {
  if (left.length > 0) throw new Broken({ kind: 'at rest', what: left.join('; ') });
}
