/**
 * The smallest program that fails as a given one does: threads, commands and preemptions first, then all that is said
 * and done before and in them, and then the preemptions of what is left.
 */
import { type Choose, following } from '../../explore/interleave.ts';
import { Recorder } from '../../explore/schedule.ts';
import { fewest, shrink } from '../../explore/shrink.ts';
import { flaws } from '../../trace/check.ts';
import { Divergence } from '../divergence.ts';
import { errnos, isShorter, smallest } from '../smaller/smallest.ts';
import type { World } from '../world.ts';
import { type Failure, traceOf } from './failure.ts';
import { judge } from './judge.ts';
import { begin, type Program } from './program.ts';
import type { Breach } from './run.ts';

const LIMITS = { preemptions: 2, schedules: 400 };

/** So many schedules are searched for those under which less fails as well. A failure needs some hundreds. */
const SEARCHED = 5000;

export function shrinkFailure(failure: Failure): Failure {
  let best = withFewestThreads(failure);
  let left = SEARCHED;
  /** Where less was done before, a thread comes to the same place in fewer steps: under another schedule. */
  const searched = (program: Program): Said | undefined => {
    if (left <= 0) return undefined;
    const fails = (branches: Program['branches'], choose: Choose): boolean => {
      left--;
      return brokenIn({ ...program, branches }, choose)?.breach === failure.breach;
    };
    const schedule = fewest(program.branches, fails, LIMITS);
    return schedule && followed({ ...best, program, schedule });
  };
  smallest(best.program, (program, before) => {
    if (program.branches.length < 2) return false;
    const shorter = isShorter(program, before);
    const found = followed({ ...best, program }) ?? (shorter ? searched(program) : undefined);
    if (found === undefined || (!shorter && found.said !== best.said)) return false;
    best = found;
    return true;
  });
  const { said: _, ...small } = withBeginnerFirst(withFewestThreads(best));
  return small;
}

/** A failure, and how the calls of its run were answered. */
interface Said extends Failure {
  readonly said: string;
}

/** The fewest threads and commands in them, and among all schedules of those the fewest preemptions. */
function withFewestThreads(failure: Failure): Said {
  const { program, schedule, breach } = failure;
  const fails = (branches: Program['branches'], choose: Choose): boolean => {
    const fewer = { ...program, branches };
    return branches.length > 1 && flawsOf(fewer) <= flawsOf(program) && brokenIn(fewer, choose)?.breach === breach;
  };
  const { threads, schedule: least } = shrink({ threads: program.branches, schedule }, fails, LIMITS);
  const small = followed({ breach, program: { ...program, branches: threads }, schedule: least });
  return small ?? { ...failure, said: '' };
}

/** Whoever begins is the first branch: the same run, and one preemption less. */
function withBeginnerFirst(failure: Said): Said {
  const { program, schedule, breach } = failure;
  const [first, ...rest] = schedule;
  if (first?.after !== 0) return failure;
  const branches = [...program.branches.slice(first.to), ...program.branches.slice(0, first.to)];
  return followed({ breach, program: { ...program, branches }, schedule: rest }) ?? failure;
}

/** The same failure under this schedule, of which what never comes is left out. */
function followed({ breach, program, schedule }: Omit<Failure, 'details'>): Said | undefined {
  const recorder = new Recorder(following(schedule));
  const broken = brokenIn(program, recorder.choose);
  return broken?.breach === breach ? { ...broken, program, schedule: recorder.schedule } : undefined;
}

/** What is broken in a run that the chooser leads, and what was answered; nothing, where the worlds disagree before. */
function brokenIn(program: Program, choose: Choose): (Breach & Pick<Said, 'said'>) | undefined {
  const { branches } = program;
  const world = begun(program);
  if (world === undefined) return undefined;
  const before = errnos(world.history);
  const { broken, calls } = judge(world, branches, choose);
  const each = branches.map((_, i) => errnos(calls.filter(({ branch }) => branch === i)));
  return broken && { ...broken, said: [before, ...each].join(';') };
}

function begun(program: Program): World | undefined {
  try {
    return begin(program);
  } catch (error) {
    if (error instanceof Divergence) return undefined;
    throw error;
  }
}

/** How often a trace of it would use what nothing gives: a smaller program may not begin to. */
const flawsOf = (program: Program): number => [...flaws(traceOf({ program, schedule: [] }, 'smaller'))].length;
