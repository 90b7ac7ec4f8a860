/** The smallest program that fails as a given one does: threads, commands and preemptions first, then the prefix. */
import { type Choose, following, type Schedule } from '../../explore/interleave.ts';
import { shrink } from '../../explore/shrink.ts';
import { flaws } from '../../trace/check.ts';
import { Divergence } from '../divergence.ts';
import { type Failure, traceOf } from './failure.ts';
import { judge } from './judge.ts';
import { begin, type Program } from './program.ts';
import type { Breach } from './run.ts';

const LIMITS = { preemptions: 2, schedules: 400 };

export function shrinkFailure(failure: Failure): Failure {
  const { program, schedule, breach } = failure;
  const fails = (branches: Program['branches'], choose: Choose): boolean => {
    const fewer = { ...program, branches };
    return branches.length > 1 && flawsOf(fewer) <= flawsOf(program) && brokenIn(fewer, choose)?.breach === breach;
  };
  const { threads, schedule: fewest } = shrink({ threads: program.branches, schedule }, fails, LIMITS);
  const small = withoutPrefix({ ...program, branches: threads }, fewest, breach);
  const broken = brokenIn(small, following(fewest));
  return broken?.breach === breach ? { ...broken, program: small, schedule: fewest } : failure;
}

/** The commands of the prefix that it fails without go, the last first, until each that is left is needed. */
function withoutPrefix(program: Program, schedule: Schedule, breach: string): Program {
  for (let i = program.prefix.length - 1; i >= 0; i--) {
    const fewer = { ...program, prefix: program.prefix.toSpliced(i, 1) };
    if (flawsOf(fewer) <= flawsOf(program) && brokenIn(fewer, following(schedule))?.breach === breach)
      return withoutPrefix(fewer, schedule, breach);
  }
  return program;
}

/** What is broken in a run that the chooser leads; nothing, where the worlds disagree before that. */
function brokenIn(program: Program, choose: Choose): Breach | undefined {
  try {
    return judge(begin(program), program.branches, choose).broken;
  } catch (error) {
    if (error instanceof Divergence) return undefined;
    throw error;
  }
}

/** How often a trace of it would use what nothing gives: a smaller program may not begin to. */
const flawsOf = (program: Program): number => [...flaws(traceOf({ program, schedule: [] }, 'smaller'))].length;
