/** The threads of a race, run once on the implementation, with the calls that they made and when. */
import { type Branch, type Choose, Interleaving } from '../../explore/interleave.ts';
import { operation } from '../../impl/execute.ts';
import { syscall, Task, type Thread } from '../../impl/kernel/thread.ts';
import type { State } from '../../model/spec.ts';
import type { Call, History } from '../../properties/concurrent/history.ts';
import { sightOf } from '../../properties/concurrent/sight.ts';
import type { Case } from '../../properties/races/race.ts';
import { World } from '../../properties/races/world.ts';
import type { Command } from '../../trace/command.ts';

/** As the chooser will. The first call of a thread that is refused is its last. */
export function historyOf(one: Case, state: State, threads: readonly (readonly Command[])[], choose: Choose): History {
  const { machine } = new World(one);
  let steps = 0;
  const branches = threads.map((): Call[] => []);
  function* inTurn(task: Task, branch: number): Thread {
    for (const command of threads[branch] as readonly Command[]) {
      const began = steps;
      const result = yield* syscall(task, () => operation(machine, command));
      branches[branch]?.push({ command, began, returned: steps, result });
      if ('err' in result) return;
    }
  }
  const running = threads.map((_, i): Branch<void> => {
    const task = new Task(`${i}`, machine.kernel);
    return { task, thread: inTurn(task, i) };
  });
  new Interleaving(running).go((queueLength, at) => {
    steps++;
    return choose(queueLength, at);
  });
  return { before: state, branches, after: sightOf(machine) };
}
