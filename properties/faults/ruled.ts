/** What the rule of a fault says of a call that has it, in a state of the model. */
import { Ioas } from '../../impl/iommufd/ioas.ts';
import { toBigint } from '../../impl/kernel/units.ts';
import type { Machine } from '../../impl/machine.ts';
import { type State, step } from '../../model/spec.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { choiceIn } from '../perform.ts';
import type { Rule } from './rules.ts';

/** The model after the call: as before, or as its rule says. */
export function stateAfter(machine: Machine, { leaves = [] }: Rule, before: State): State {
  return leaves.reduce((state, command) => {
    const outcome = step(state, command, placedBy(machine, state, command));
    return ('state' in outcome && outcome.state) || state;
  }, before);
}

/** What the model answers where the call gets by; what is wrong with the choice that the implementation made. */
export function answerOf(command: Command, before: State, result: Result): Result | string {
  const outcome = step(before, command, choiceIn(command, result));
  if ('refused' in outcome) return outcome.refused;
  return 'err' in outcome ? { err: outcome.err } : { ok: outcome.ok };
}

/** Where the implementation put what a caller was not told of: the area that the model does not have. */
function placedBy(machine: Machine, state: State, command: Command): bigint | undefined {
  const fixed = command.do === 'ioas_copy' ? command.dst_iova : 'iova' in command ? command.iova : undefined;
  if (fixed !== undefined) return undefined;
  const name = command.do === 'ioas_copy' ? command.dst : 'ioas' in command ? command.ioas : undefined;
  const known = state.ioases.find(({ space }) => space.name === name);
  for (const ctx of machine.contexts) {
    for (const object of ctx.table) {
      if (!(object instanceof Ioas) || object.name !== name) continue;
      for (const area of object.iopt.areas.all())
        if (!known?.areas.some(({ iova }) => iova === toBigint(area.iova))) return toBigint(area.iova);
    }
  }
  return undefined;
}
