/** The branches of a program at once: what each call answered, and when; or what went wrong meanwhile. */
import { stuck } from '../../explore/blame.ts';
import { type Branch, type Choose, Interleaving } from '../../explore/interleave.ts';
import { operation } from '../../impl/execute.ts';
import { preempt, syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import type { Machine } from '../../impl/machine.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { breachIn } from '../races/breach.ts';
import { Watch } from '../races/watch.ts';
import { Numbers } from './numbers.ts';
import { Places } from './places.ts';

/** A system call of a branch, and the steps of the run, counted from 1, in which it began and returned. */
export interface Call {
  readonly branch: number;
  readonly command: Command;
  readonly began: number;
  /** Absent while it has not returned, and so is the result. */
  returned?: number;
  result?: Result;
  /** Where it has placed its first area. */
  placed?: bigint;
}

/** What is broken, in a word that stays the same while a failure is shrunk, and how it shows. */
export interface Breach {
  readonly breach: string;
  readonly details: readonly string[];
}

export interface Ran {
  /** In the order in which they began. */
  readonly calls: readonly Call[];
  readonly steps: number;
  readonly broken?: Breach;
  /** That a call has passed a number which then came to name something else, and how. */
  readonly reused?: string;
  /** Why nobody can say whether the answers are right. Nothing that was looked at is broken. */
  readonly setAside?: string;
}

/** Run the branches to their ends, or until something is broken. Fails as the chooser does, and in no other way. */
export function run(machine: Machine, branches: readonly (readonly Command[])[], choose: Choose): Ran {
  const running = new Running(machine);
  const broken = running.go(branches, choose);
  const { calls, steps, reused } = running;
  return { calls, steps, ...(broken && { broken }), ...(reused !== undefined && { reused }) };
}

class Running {
  readonly #machine: Machine;
  readonly #numbers: Numbers;
  readonly #places: Places;
  readonly #watch: Watch;
  readonly #underWay = new Map<Task, Call>();
  readonly calls: Call[] = [];
  steps = 0;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#numbers = new Numbers(machine);
    this.#places = new Places(machine);
    this.#watch = new Watch(machine);
  }

  get reused(): string | undefined {
    return this.#numbers.reused;
  }

  go(branches: readonly (readonly Command[])[], choose: Choose): Breach | undefined {
    const all = new Interleaving(branches.map((commands, i) => this.#branch(commands, i)));
    let choosing = false;
    const chooser: Choose = (queueLength, at) => {
      choosing = true;
      const place = choose(queueLength, at);
      choosing = false;
      this.steps++;
      return place;
    };
    try {
      all.go(chooser, ({ task }) => this.#look(task));
    } catch (error) {
      if (choosing) throw error;
      const { kind, what } = breachIn(error);
      return { breach: kind, details: [what] };
    }
    const blocked = stuck(all.waiting);
    return blocked && { breach: blocked.verdict, details: blocked.lines };
  }

  #look(task: Task): void {
    this.#numbers.look();
    const call = this.#underWay.get(task);
    const placed = call && this.#places.look(call.command);
    if (placed !== undefined) (call as Call).placed = placed;
    this.#watch.look(task.name);
  }

  #branch(commands: readonly Command[], index: number): Branch<void> {
    const task = new Task(`branch ${index + 1}`, this.#machine.kernel);
    return { task, thread: this.#inTurn(task, commands, index) };
  }

  /** Others may come in between two calls. */
  *#inTurn(task: Task, commands: readonly Command[], branch: number): Thread {
    for (const [i, command] of commands.entries()) {
      if (i > 0) yield preempt;
      const call: Call = { branch, command, began: this.steps };
      this.calls.push(call);
      this.#underWay.set(task, call);
      this.#numbers.began(command);
      call.result = yield* syscall(task, () => operation(this.#machine, command));
      this.#numbers.returned(command);
      call.returned = this.steps;
    }
  }
}
