/** The threads of a program, run once and drawn: a column for each, a bar for each lock while it is held. */
import { Sketch } from '../../explore/drawing.ts';
import { Follower, type Schedule } from '../../explore/interleave.ts';
import { neverCame } from '../../explore/schedule.ts';
import { showCommand, showResult } from '../../trace/show.ts';
import type { World } from '../world.ts';
import { judge } from './judge.ts';
import type { Program } from './program.ts';
import type { Call } from './run.ts';

/** Run the branches where the prefix is done: what each call answered, the drawing, and what is broken. */
export function draw(world: World, branches: Program['branches'], schedule: Schedule): string[] {
  const follower = new Follower(schedule);
  const sketch = new Sketch(follower.choose);
  const { calls, broken, setAside, steps } = judge(world, branches, sketch.choose);
  const wrong = broken === undefined ? [] : ['', broken.breach, ...broken.details];
  if (setAside !== undefined) wrong.push('', `set aside: ${setAside}`);
  const shorter = broken === undefined ? neverCame(follower, schedule, steps) : undefined;
  if (shorter !== undefined) wrong.push('', shorter);
  return [...callLines(branches.length, calls), '', ...sketch.lines(), ...wrong];
}

/** What each call answered, and when it began and returned. */
function callLines(branches: number, calls: readonly Call[]): string[] {
  const shown = calls.map(({ command }) => showCommand(command));
  const width = Math.min(Math.max(0, ...shown.map((line) => line.length)), 72);
  return Array.from({ length: branches }, (_, branch) => [
    `branch ${branch + 1}`,
    ...calls.flatMap((call, i) => {
      const { result, began, returned } = call;
      if (call.branch !== branch) return [];
      const answer = result === undefined ? 'does not return' : showResult(result);
      const steps = returned === began ? `step ${began}` : `steps ${began} to ${returned ?? '…'}`;
      return [`  ${(shown[i] as string).padEnd(width)}  ${answer}, ${steps}`];
    }),
  ]).flat();
}
