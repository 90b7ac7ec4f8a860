/** Who waits for whom, and why that will not end, told from the locks, fences and completions themselves. */
import type { Task } from '../impl/kernel/thread.ts';
import type { Step } from './interleave.ts';

/**
 * Why somebody waits for ever: in a circle; for what nobody is left to do, so that he should have been woken; or for a
 * party outside of the kernel that has not done its part. While somebody still runs, none of that is so.
 */
export type Verdict = 'deadlock' | 'lost wake-up' | 'environment' | 'running';

/** One thread that waits. */
export interface Blamed {
  readonly verdict: Verdict;
  /** For what it waits, who holds that, and what the holder waits for in turn, down to where that ends. */
  readonly line: string;
}

/** All that wait. */
export function blamed(waiting: readonly Step[]): Blamed[] {
  const wants = new Map(waiting.map(({ task, wants }) => [task, wants]));
  return waiting.map(({ task }) => {
    const { verdict, line } = reason(wants, task, new Set());
    return { verdict, line: `${task.name} ${line}` };
  });
}

/** Why it is that nobody goes on, in the words of the worst: a circle will never end, and an answer may yet come. */
export interface Stuck {
  readonly verdict: Exclude<Verdict, 'running'>;
  /** Of everybody who waits; a circle is told once. */
  readonly lines: readonly string[];
}

/** The worst first. */
const VERDICTS = ['deadlock', 'lost wake-up', 'environment'] as const;

/** When nobody can go on any more; undefined when all have ended. */
export function stuck(waiting: readonly Step[]): Stuck | undefined {
  const all = blamed(waiting);
  const verdict = VERDICTS.find((word) => all.some((one) => one.verdict === word));
  const [circle] = all.filter((one) => one.verdict === 'deadlock');
  return verdict && { verdict, lines: (circle === undefined ? all : [circle]).map(({ line }) => line) };
}

/** Whether these are words of a run in which nobody could go on. */
export const isStuck = (words: string): boolean => VERDICTS.some((word) => word === words);

/** The lines alone. */
export const blame = (waiting: readonly Step[]): string[] => blamed(waiting).map(({ line }) => line);

function reason(wants: ReadonlyMap<Task, Step['wants']>, task: Task, seen: Set<Task>): Blamed {
  const wanted = wants.get(task);
  if (wanted === undefined) return { verdict: 'running', line: 'runs' };
  if (seen.has(task)) return { verdict: 'deadlock', line: 'waits for itself: a deadlock' };
  seen.add(task);
  const [holder] = wanted.holders?.() ?? [];
  if (holder === undefined) {
    const line = `waits for ${wanted.blockedBy?.() ?? wanted.name}`;
    if (wanted.outside === true) return { verdict: 'environment', line };
    return { verdict: 'lost wake-up', line };
  }
  const { verdict, line } = reason(wants, holder, seen);
  const held = wanted.outside !== undefined ? 'which is up to' : 'held by';
  return { verdict, line: `waits for ${wanted.name}, ${held} ${holder.name}, which ${line}` };
}
