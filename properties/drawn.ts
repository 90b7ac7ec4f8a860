/** The threads of a trace, run once and drawn, wherever a replay would run them. */
import { DEFAULT_KERNEL } from '../impl/kernel/features.ts';
import { kernelOf, type Trace } from '../trace/trace.ts';
import { draw } from './concurrent/drawing.ts';
import { Divergence } from './divergence.ts';
import { performStep } from './faults/faults.ts';
import { drawRaced } from './raced-faults/drawing.ts';
import { racedIn } from './raced-faults/kept.ts';
import { unsupportedIn } from './recorded.ts';
import { finish, inWorld } from './walk.ts';
import { newWorld, type World } from './world.ts';

/** A trace without threads has no drawing; one that cannot be run says why. */
export function drawTrace(trace: Trace): string[] {
  const { machine, steps, threads } = trace;
  if (threads === undefined) return [];
  const kernel = kernelOf(trace) ?? DEFAULT_KERNEL;
  const unsupported = unsupportedIn(trace, kernel);
  if (unsupported !== undefined) return [`not drawn, as no replay runs it: ${unsupported}`];
  try {
    const world = walkSteps(newWorld(machine, kernel), steps);
    const raced = racedIn(threads);
    if (raced !== undefined) return drawRaced(world, raced);
    const branches = threads.branches.map((branch) => branch.map(({ command }) => command));
    return draw(world, branches, threads.schedule);
  } catch (error) {
    if (error instanceof Divergence) return [`not drawn: ${error.message}`];
    throw error;
  }
}

/** Whatever they are expected to answer. */
function walkSteps(world: World, steps: Trace['steps']): World {
  inWorld(world, () => {
    for (const step of steps) performStep(world, step);
    finish(world);
  });
  return world;
}
