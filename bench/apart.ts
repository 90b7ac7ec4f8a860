/**
 * Rounds of competitors that each have a process of their own: none meets code that another has warmed up, or shapes of
 * objects that only another makes. They take turns, and those whose turn it is not do nothing.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { costOf } from './rounds.ts';

interface Competitor {
  readonly child: ChildProcess;
  /** Fails when the process has ended. */
  readonly ended: Promise<never>;
  readonly kept: number[];
}

/** Nanoseconds a unit, for each name in each of `count` rounds; `module` calls `compete`, in the form that we have. */
export async function roundsApart(
  module: URL,
  names: readonly string[],
  count: number,
  milliseconds: number,
  warmingUp: number,
): Promise<number[][]> {
  const competitors = names.map((name) => start(module, name));
  try {
    for (let round = 0; round < warmingUp + count; round++) {
      for (const competitor of competitors) {
        const cost = await turnOf(competitor, milliseconds);
        if (round >= warmingUp) competitor.kept.push(cost);
      }
    }
  } finally {
    for (const { child } of competitors) child.kill();
  }
  return competitors.map(({ kept }) => kept);
}

function start(module: URL, name: string): Competitor {
  const child = fork(module, [name]);
  const ended = once(child, 'exit').then(([status]): never => {
    throw new Error(`"${name}" has ended with ${status}`);
  });
  ended.catch(() => {}); // That of all who are not waited for is no failure.
  return { child, ended, kept: [] };
}

async function turnOf({ child, ended }: Competitor, milliseconds: number): Promise<number> {
  child.send(milliseconds);
  const [cost] = await Promise.race([once(child, 'message'), ended]);
  return cost;
}

/** This process is a competitor: it runs when it is told for how long, and answers what a unit cost. */
export function compete(run: () => number): void {
  process.on('message', (milliseconds: number) => process.send?.(costOf(run, milliseconds)));
}
