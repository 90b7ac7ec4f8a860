/** A sequence that ends in a divergence, made as small as a program of several threads is. */
import { Divergence } from '../divergence.ts';
import { type MakeWorld, walkCommands } from '../walk.ts';
import type { World } from '../world.ts';
import { errnos, isShorter, smallest } from './smallest.ts';

/** A divergence of the same breach after the fewest and plainest commands; what closes everything is among them. */
export function shrinkDivergence(found: Divergence, make: MakeWorld): Divergence {
  const { breach, world } = found;
  if (world === undefined) return found;
  const { config, kernel, history, machine } = world;
  let best = found;
  let said = errnos(history);
  smallest({ config, kernel, prefix: history.map(({ command }) => command), branches: [] }, (program, before) => {
    const again = make(program.config, program.kernel);
    again.machine.kernel.poisons = machine.kernel.poisons;
    const met = divergenceIn(() => walkCommands(again, program.prefix));
    const says = errnos(again.history);
    if (met?.breach !== breach || (!isShorter(program, before) && says !== said)) return false;
    [best, said] = [met, says];
    return true;
  });
  return best;
}

/** What fails in another way is another failure. */
function divergenceIn(walk: () => World): Divergence | undefined {
  try {
    walk();
  } catch (error) {
    if (error instanceof Divergence) return error;
  }
  return undefined;
}
