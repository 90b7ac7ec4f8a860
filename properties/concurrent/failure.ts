/** A program that fails under a schedule: as a trace that can be kept, and told to a person. */
import type { Schedule } from '../../explore/interleave.ts';
import { showSchedule } from '../../explore/schedule.ts';
import { showCommand } from '../../trace/show.ts';
import type { Trace } from '../../trace/trace.ts';
import { type Regression, regressionNamed } from '../regression.ts';
import { draw } from './drawing.ts';
import { begin, type Program } from './program.ts';
import type { Breach } from './run.ts';

export interface Failure extends Breach {
  readonly program: Program;
  readonly schedule: Schedule;
}

/** Version 2 of the format, with the branches as `threads`; no answers, as of any regression. */
export function traceOf({ program, schedule }: Pick<Failure, 'program' | 'schedule'>, name: string): Trace {
  const { config, kernel, prefix, branches } = program;
  const stepsOf = (commands: Program['prefix']): Trace['steps'] => commands.map((command) => ({ command }));
  const threads = { branches: branches.map(stepsOf), schedule };
  return { version: 2, name, kernel, machine: config, steps: stepsOf(prefix), threads };
}

export const regressionOfFailure = (failure: Failure): Regression =>
  regressionNamed(failure.breach, failure.details[0], (name) => traceOf(failure, name));

/** The failure for a person: what was done before, what at once, the run drawn, and how to replay its file. */
export function tell({ breach, program, schedule }: Failure, file?: string): string[] {
  const { prefix, branches, kernel } = program;
  return [
    `BROKEN: ${breach}, by ${branches.length} threads, behaving as Linux ${kernel}`,
    '',
    ...prefix.map((command, i) => `  ${String(i + 1).padStart(3)}  ${showCommand(command)}`),
    '',
    `and then together, with the schedule ${showSchedule(schedule)}`,
    '',
    ...draw(begin(program), branches, schedule),
    ...(file === undefined ? [] : ['', `replay it:  npx shootdown replay ${file}`]),
  ];
}
