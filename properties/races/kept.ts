/** A failure of a race as a trace, where the format can hold it: then it is kept, and replayed like any other. */
import type { Command } from '../../trace/command.ts';
import type { Trace } from '../../trace/trace.ts';
import { traceOf } from '../concurrent/failure.ts';
import type { Program } from '../concurrent/program.ts';
import { replay } from '../recorded.ts';
import { type Regression, regressionNamed } from '../regression.ts';
import { MACHINES } from './machines.ts';
import type { Step } from './race.ts';
import type { Failure } from './search.ts';
import { isDriverStep } from './show.ts';
import type { CaseTrial } from './trial.ts';

/**
 * The first of these, which are the same failure made small and as it was found, that fails when it is replayed; or why
 * there is none.
 */
export function regressionOfRace(...failures: readonly Failure<Step>[]): Regression | string {
  let why = 'what is wrong shows in no replay';
  for (const { kind, what, schedule, trial } of failures) {
    const program = programOf(trial as CaseTrial);
    if (typeof program === 'string') {
      why = program;
      continue;
    }
    const regression = regressionNamed(kind, what, (name) => inOneThread(traceOf({ program, schedule }, name)));
    if (replay(regression.trace).verdict === 'disagree') return regression;
  }
  return why;
}

/** A case whose steps are commands; or what else there is to it. */
function programOf({ one, threads }: CaseTrial): Program | string {
  const { machine = 'two buses', kernel = '7.3', before, fails } = one;
  if (fails !== undefined) return 'whichever thread comes to it meets the fault';
  if ([before, ...threads].some((steps) => steps.some(isDriverStep))) return 'a step of it is no command';
  return { config: MACHINES[machine], kernel, prefix: before as Commands, branches: threads as readonly Commands[] };
}
type Commands = readonly Command[];

/** A thread that is alone just goes on. */
function inOneThread({ threads, ...trace }: Trace): Trace {
  const [only = [], another] = threads?.branches ?? [];
  if (threads === undefined || another !== undefined) return { ...trace, ...(threads && { threads }) };
  return { ...trace, steps: [...trace.steps, ...only] };
}
