/** One case of a race: its schedules, and every end that was seen, with a schedule that leads there. */
import { blame } from '../../explore/blame.ts';
import { type Branch, type Choose, Interleaving } from '../../explore/interleave.ts';
import { explore, Pruned, type Strategy } from '../../explore/strategy.ts';
import { Task } from '../../impl/kernel/thread.ts';
import { endOf, wordsOf } from './look.ts';
import type { Actor, Case, Step } from './race.ts';
import { broken } from './rules.ts';
import { World } from './world.ts';

/** What was seen of a case. */
export interface Seen {
  /** Schedules that came to an end, and those that would have been like another. */
  readonly explored: number;
  readonly pruned: number;
  /** The ends in words, each with the first schedule that led there. */
  readonly ends: ReadonlyMap<string, string>;
}

/** A run that went wrong, with the schedule that it went by. */
export class Wrong extends Error {
  override readonly name = 'Wrong';
}

/** Every schedule that the strategy has. Fails with what went Wrong in a run. */
export function seen(one: Case, strategy: Strategy): Seen {
  const ends = new Map<string, string>();
  const { explored, pruned } = explore(strategy, (choose) => {
    const run = new Race(one);
    const words = run.go(choose);
    if (ends.has(words)) return;
    ends.set(words, run.schedule);
    run.finish();
  });
  return { explored, pruned, ends };
}

class Race {
  readonly #one: Case;
  readonly #world: World;
  /** Who ran for how many steps, and what it wanted then. */
  readonly #stretches: { readonly name: string; steps: number; wants: string | undefined }[] = [];

  constructor(one: Case) {
    this.#one = one;
    this.#world = new World(one);
  }

  /** The end, in words. */
  go(choose: Choose): string {
    const { machine } = this.#world;
    const { actors, fails, ends } = this.#one;
    if (fails !== undefined) machine.kernel.faults.arm(fails.nth, fails.site);
    const branches = actors.map((actor, i) => this.#branch(nameOf(actors, i), actor));
    if (this.#world.importers.size > 0) branches.push(this.#worker());
    const all = new Interleaving(branches);
    try {
      all.go(choose, ({ task, wants }) => {
        this.#note(task.name, wants?.name);
        const found = broken(this.#world.machine);
        if (found !== undefined) throw new Wrong(found);
      });
    } catch (error) {
      if (error instanceof Pruned) throw error;
      throw new Wrong(`${error instanceof Error ? error.message : error}\nschedule: ${this.schedule}`);
    }
    const waiting = all.waiting.filter(({ task }) => task.name !== WORKER);
    const circle = blame(waiting).find((line) => line.endsWith('a deadlock'));
    if (circle !== undefined) throw new Wrong(`${circle}\nschedule: ${this.schedule}`);
    const answers = all.answers.slice(0, actors.length).map((answer) => answer ?? 'blocked');
    return wordsOf(endOf(this.#world, answers, ends[0]?.extra ?? {}));
  }

  /** Nobody is under way: all must be accounted for, as it is and when all is closed. */
  finish(): void {
    const { machine } = this.#world;
    // Who is blocked keeps what it has.
    for (const { memoryLock } of machine.devices.values()) if (memoryLock.locked) return;
    // The machine does not know the drivers, so that it can account for all only when they have gone.
    const left = [...(this.#world.importers.size > 0 ? [] : machine.audit()), ...this.#world.finish()];
    if (left.length > 0) throw new Wrong(`at rest: ${left.join('; ')}\nschedule: ${this.schedule}`);
  }

  get schedule(): string {
    const stretches = this.#stretches.map(({ name, steps, wants }) =>
      wants === undefined ? `${name} to its end` : `${name} for ${steps} steps, to ${wants}`,
    );
    return stretches.join('; ');
  }

  #note(name: string, wants: string | undefined): void {
    let last = this.#stretches.at(-1);
    if (last?.name !== name) {
      last = { name, steps: 0, wants };
      this.#stretches.push(last);
    }
    last.steps++;
    last.wants = wants;
  }

  #branch(name: string, actor: Actor): Branch<string> {
    const task = new Task(name, this.#world.machine.kernel);
    return { task, thread: this.#world.inTurn(task, stepsOf(actor)) };
  }

  #worker(): Branch<string> {
    return { task: new Task(WORKER, this.#world.machine.kernel), thread: this.#world.worker() };
  }
}

const WORKER = 'worker';
const stepsOf = (actor: Actor): readonly Step[] => ('do' in actor ? [actor] : actor);

/** What it does, and which it is where several do the same. */
function nameOf(actors: readonly Actor[], index: number): string {
  const names = actors.map((actor) =>
    stepsOf(actor)
      .map((step) => step.do)
      .join('+'),
  );
  const name = names[index] as string;
  const same = names.filter((each) => each === name).length;
  return same === 1 ? name : `${name} #${names.slice(0, index + 1).filter((each) => each === name).length}`;
}
