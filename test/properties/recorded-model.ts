/** A recording held against the model alone: it says which of the two worlds is wrong. */
import { reaches } from '../../model/observe.ts';
import { initial, step } from '../../model/spec.ts';
import { choiceIn, wrongAnswer } from '../../properties/perform.ts';
import type { Reach } from '../../trace/answer.ts';
import type { Handle } from '../../trace/command.ts';
import { showReach } from '../../trace/show.ts';
import type { Trace } from '../../trace/trace.ts';

/** The first thing in which the model differs from the recording, in a line. */
export function modelDifference({ machine, steps }: Trace): string | undefined {
  const known = new Map<Handle, readonly Reach[]>();
  let state = initial(machine);
  for (const [at, { command, result, reach }] of steps.entries()) {
    const where = `step ${at + 1}, ${command.do}`;
    if (result === undefined) return `${where}: no answer is recorded`;
    const outcome = step(state, command, choiceIn(command, result));
    const wrong = wrongAnswer(outcome, result);
    if (wrong !== undefined) return `${where}: ${wrong.join('; ')}`;
    if ('state' in outcome && outcome.state !== undefined) state = outcome.state;
    for (const [device, rows] of reach ?? []) known.set(device, rows);
    for (const [device, rows] of known) {
      const [expected, got] = [rows, reaches(state, device)].map((all) => all.map(showReach).join(', '));
      if (got !== expected) return `${where}: ${device} should reach [${expected}], got [${got}]`;
    }
  }
  return undefined;
}
