/** The threads of a program or a trace, run once and drawn: a column for each, a bar for each lock while it is held. */
import { Sketch } from '../../explore/drawing.ts';
import { Follower, type Schedule } from '../../explore/interleave.ts';
import { neverCame } from '../../explore/schedule.ts';
import { DEFAULT_KERNEL, featuresOf } from '../../impl/kernel/features.ts';
import { showCommand, showResult } from '../../trace/show.ts';
import { kernelOf, type Trace } from '../../trace/trace.ts';
import { Divergence } from '../divergence.ts';
import { walkCommands } from '../walk.ts';
import { newWorld, type World } from '../world.ts';
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

/** The same of a trace; one that cannot be run says why. */
export function drawTrace(trace: Trace): string[] {
  const { machine, steps, threads } = trace;
  if (threads === undefined) return [];
  const kernel = kernelOf(trace) ?? DEFAULT_KERNEL;
  if (featuresOf(kernel) === undefined) return [`not drawn: there is no kernel ${kernel}`];
  if ([...steps, ...threads.branches.flat()].some(({ fault }) => fault)) return ['not drawn: it has faults'];
  const commandsOf = (some: typeof steps): Program['prefix'] => some.map(({ command }) => command);
  try {
    const world = walkCommands(newWorld(machine, kernel), commandsOf(steps));
    return draw(world, threads.branches.map(commandsOf), threads.schedule);
  } catch (error) {
    if (error instanceof Divergence) return [`not drawn: ${error.message}`];
    throw error;
  }
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
