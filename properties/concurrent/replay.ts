/** The threads of a trace, replayed in a world in which its steps are done. */
import { isStuck } from '../../explore/blame.ts';
import { Follower } from '../../explore/interleave.ts';
import { neverCame } from '../../explore/schedule.ts';
import { showResult } from '../../trace/show.ts';
import type { Step, Threads } from '../../trace/trace.ts';
import { sameResult } from '../perform.ts';
import type { World } from '../world.ts';
import { judge } from './judge.ts';
import type { Call, Ran } from './run.ts';

export interface Replayed {
  /** What differs from what the trace expects, or else what is broken, a line each; nothing, when all is well. */
  readonly wrong: readonly string[];
  /** That the run was shorter than its schedule. */
  readonly remark: string | undefined;
}

export function replayThreads(world: World, { branches, schedule }: Threads): Replayed {
  const follower = new Follower(schedule);
  const commands = branches.map((steps) => steps.map(({ command }) => command));
  const ran = judge(world, commands, follower.choose);
  return { wrong: wrongIn(ran, branches), remark: neverCame(follower, schedule, ran.steps) };
}

function wrongIn({ calls, broken, setAside }: Ran, branches: Threads['branches']): readonly string[] {
  const asExpected = branches.map((steps, i) =>
    steps.map((step, at) => {
      const call = calls.filter(({ branch }) => branch === i)[at];
      return unexpected(step, call).map((line) => `branch ${i + 1}, step ${at + 1}: ${line}`);
    }),
  );
  const wrong = asExpected.flat(2);
  // What nobody can judge shall not pass for right.
  if (setAside !== undefined) return [`set aside: ${setAside}`, ...wrong];
  if (broken === undefined || (wrong.length === 0 && isForeseen(broken.breach, branches, calls))) return wrong;
  return [broken.breach, ...broken.details.map((line) => line.trim()), ...wrong];
}

/** How a call went otherwise than its step says, as far as that says anything. */
function unexpected({ result, blocked }: Step, call: Call | undefined): string[] {
  const got = call?.result === undefined ? 'no answer' : showResult(call.result);
  if (blocked !== undefined && call?.result !== undefined) return [`expected to be blocked, got ${got}`];
  if (result === undefined || (call?.result !== undefined && sameResult(result, call.result))) return [];
  return [`expected ${showResult(result)}, got ${got}`];
}

/** Whoever has not returned was expected to be blocked, or comes after one that was. */
function isForeseen(breach: string, branches: Threads['branches'], calls: readonly Call[]): boolean {
  if (!isStuck(breach)) return false;
  return branches.every((steps, i) => {
    const own = calls.filter(({ branch }) => branch === i);
    const stuck = own.findIndex(({ returned }) => returned === undefined);
    return stuck < 0 || steps[stuck]?.blocked !== undefined;
  });
}
