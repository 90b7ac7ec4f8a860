/** A run of a program judged, from its first step until everything is closed. */
import type { Choose } from '../../explore/interleave.ts';
import type { State } from '../../model/spec.ts';
import type { Command } from '../../trace/command.ts';
import { Divergence } from '../divergence.ts';
import { closeAll, finish } from '../walk.ts';
import type { World } from '../world.ts';
import type { History } from './history.ts';
import { linearize, showVerdict } from './linearize.ts';
import { wrongMappings } from './mappings.ts';
import { type Breach, type Call, type Ran, run } from './run.ts';
import { sightOf } from './sight.ts';

/** A trace says nothing of how everything is closed in the end, and must fail when it is replayed. */
const ORDER = 0;

/**
 * Run the branches in a world in which the prefix is done. What is `broken`: a splat, or a rule after a step; no order
 * of the calls that explains what was answered and what is seen, with both worlds in agreement; or what is left when
 * all is closed. `setAside`: no order explains a run in which a number was given out again under a call that had passed
 * it. The kernel may do that, and the model knows no numbers.
 */
export const judge = (world: World, branches: readonly (readonly Command[])[], choose: Choose): Ran =>
  judged(world, branches, run(world.machine, branches, choose));

/** The same of a run that has just come to its end in this world. */
export function judged(world: World, branches: readonly (readonly Command[])[], ran: Ran): Ran {
  if (ran.broken !== undefined) return ran;
  const wrong = unexplained(world, branches.length, ran.calls);
  if (wrong !== undefined)
    return ran.reused === undefined ? { ...ran, broken: wrong } : { ...ran, setAside: ran.reused };
  const broken = breachIn(() => closeAll(world, ORDER));
  return broken === undefined ? ran : { ...ran, broken };
}

/** What so many branches did from the model's state on, and what is seen now that they have. */
export const historyOf = (
  { state, machine }: Pick<World, 'state' | 'machine'>,
  branches: number,
  calls: readonly Call[],
): History => ({
  before: state,
  branches: Array.from({ length: branches }, (_, i) => calls.filter(({ branch }) => branch === i)),
  after: sightOf(machine),
});

/** Nothing, and the model has done what explains the run. */
function unexplained(world: World, branches: number, calls: readonly Call[]): Breach | undefined {
  const history = historyOf(world, branches, calls);
  world.machine.takeCalls();
  // What is wrong at rest with all orders that explain the rest, if there are such.
  let atRest: Breach | undefined;
  const also = (end: State): readonly string[] => {
    world.state = end;
    const missing = wrongMappings(world);
    atRest = missing.length > 0 ? { breach: 'mappings', details: missing } : breachIn(() => finish(world));
    return atRest?.details ?? [];
  };
  const verdict = linearize(history, also);
  if (verdict.explained || atRest !== undefined) return atRest;
  const closest = showVerdict(history, verdict).slice(0, 1 + verdict.order.length);
  return { breach: 'no order fits', details: [...verdict.why, ...closest] };
}

function breachIn(compare: () => void): Breach | undefined {
  try {
    compare();
  } catch (error) {
    if (error instanceof Divergence) return error;
    throw error;
  }
  return undefined;
}
