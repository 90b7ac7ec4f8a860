/** What the command line takes, and how it refuses: one clear line, and exit code 2. */

export const USAGE = `usage: shootdown COMMAND

  check [--seed S] [--runs N] [--time 30s] [--json]
      walk random sequences until N are done or the time is up; the default is 2,000
  check --faults [--raced] [--seed S] [--runs N] [--time 30s]
      make a call fail at each of its fault points, after random sequences; the default is 2,000 calls; --raced while
      a revoke runs, at many places of both, from 500 states
  check --raw [--seed S] [--calls N] [--time 30s]
      make raw system calls, good and bad ones; the default is 100,000
  race [--strategy S] [--seed S] [--runs N] [--time 30s] [--svg FILE] [--start START] [RACE...]
      interleave races of the documents, such as iommufd-R1, all of a document, such as vfio, or all there are, from
      each of their starting states or from one (its number or its words), each in N schedules, until the time is up, or
      until S has no more; the default is 500 where S never ends;
      S is pct:D (the default, with 3), random, round-robin, exhaustive, exhaustive:N (preemptions), reduced (leaves
      out orders that make no difference), or deepening (0, 1 and 2 preemptions, then as reduced);
      a failure is shrunk, and also drawn into FILE
  race --schedule SCHEDULE [--start START] [--svg FILE] RACE
      run a race once, as a failure has it, and draw the run; in a schedule N>K means: after N steps, to the K-th next
      thread of those that can run; sequential: one after the other
  race --list [RACE...]
      print races with their starting states
  race --random [--strategy S] [--seed S] [--runs N] [--time 30s]
      interleave random programs of two and three threads, N of them (the default is 5,000) or until the time is up,
      each in up to 20 schedules of pct:3, or 100 of another strategy; a failure is shrunk, drawn and kept
  replay [--strict] [--kernel V] FILE...
      replay traces (files or folders of .json and .jsonl) on implementation and model
  show FILE
      print a trace for a person

exit code: 0 all agree, 1 a disagreement, 2 bad input (with --strict, also anything skipped)`;

/** What one command takes, in each of its forms; empty for what is no command. */
export function usageOf(command: string): string {
  const forms = USAGE.split(/\n+(?= {2}[a-z]|exit code)/).filter((form) => form.startsWith(`  ${command} `));
  return forms.length === 0 ? '' : ['usage: shootdown COMMAND', '', ...forms].join('\n');
}

/** A mistake in the command line or in a file; its message is the one line to show. */
export class UsageError extends Error {}
