/** One run of a race: a world of its own, the actors interleaved as the chooser will, and how that ended. */
import { blame } from '../../explore/blame.ts';
import { type Branch, type Choose, Interleaving, type Step } from '../../explore/interleave.ts';
import { operation } from '../../impl/execute.ts';
import { Splat } from '../../impl/kernel/splat.ts';
import { preempt, syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import { hex } from '../../impl/kernel/units.ts';
import { Machine } from '../../impl/machine.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { showHex } from '../../trace/show.ts';
import { reachOf } from '../observe.ts';
import type { Actor, Outcome, Race, Start } from './race.ts';
import { staleTranslations } from './stale.ts';

/** What a run does wrong that no splat tells. */
export class Broken extends Error {
  override readonly name = 'Broken';
}

/**
 * Run `race` once from `start`. Fails with a Splat of the implementation, or with what is Broken: a translation that a
 * revoke should have ended, at any step at which nobody holds the lock under which it ends them; or what is left over.
 */
export function perform(race: Race, start: Start, choose: Choose, watch?: (step: Step) => void): Outcome {
  const machine = begin(race, start);
  const all = new Interleaving(race.actors.map((actor) => branchOf(machine, actor)));
  all.go(choose, (step) => {
    watch?.(step);
    const stale = staleTranslations(machine);
    if (stale.length > 0) throw new Broken(`after a step of ${step.task.name}: ${stale.join('; ')}`);
  });
  const blocked = blame(all.waiting);
  const circle = blocked.find((line) => line.endsWith('a deadlock'));
  if (circle !== undefined) throw new Splat('deadlock', circle);
  const outcome = {
    answers: all.answers.map((answer) => answer ?? 'blocked'),
    reach: reachLines(machine),
    cpu: cpuLines(machine),
    blocked,
  };
  if (blocked.length === 0) atRest(machine);
  return outcome;
}

/** The world as it is before the race. Fails when that cannot be made. */
export function begin({ machine: config, kernel }: Race, { name, commands }: Start): Machine {
  const machine = new Machine(config, kernel);
  for (const command of commands) {
    const result = machine.execute(command);
    if ('err' in result) throw new Error(`start "${name}": ${command.do} answers ${result.err}`);
  }
  machine.takeCalls();
  return machine;
}

export function branchOf(machine: Machine, { name, does }: Actor): Branch<string> {
  const task = new Task(name, machine.kernel);
  return { task, thread: typeof does === 'function' ? does(machine) : calls(machine, task, does) };
}

/** Others may come in between two system calls. */
function* calls(machine: Machine, task: Task, commands: readonly Command[]): Thread<string> {
  const answers: string[] = [];
  for (const command of commands) {
    if (answers.length > 0) yield preempt;
    answers.push(short(yield* syscall(task, operation(machine, command))));
  }
  return answers.join(', ');
}

export function short(result: Result): string {
  if ('err' in result) return result.err;
  const { length, iova, value, signal, target } = result.ok;
  const number = length ?? iova;
  return number === undefined ? (value ?? signal ?? target ?? 'ok') : `ok ${showHex(number)}`;
}

const reachLines = (machine: Machine): string[] =>
  [...machine.devices.keys()].flatMap((device) =>
    reachOf(machine, device).map(
      ([iova, of, length]) => `${device} ${showHex(iova)} → ${of} length ${showHex(length)}`,
    ),
  );

const cpuLines = (machine: Machine): string[] =>
  machine.cpuMappings().map(({ process, map, at, memory, offset, length }) => {
    const where = `${process === undefined ? '' : `${process} `}${map ?? '?'}+${hex(at ?? 0)}`;
    return `${where} → ${memory}+${hex(offset)} length ${hex(length)}`;
  });

/** Nobody is under way, so all must be accounted for. */
function atRest(machine: Machine): void {
  const wrong = machine.audit();
  if (wrong.length > 0) throw new Broken(`at rest: ${wrong.join('; ')}`);
}
