/** Who waits for whom, told from the locks, fences and completions themselves. */
import type { Task } from '../impl/kernel/thread.ts';
import type { Step } from './interleave.ts';

/**
 * A line for each thread that waits: for what, who holds that, and what the holder waits for in turn, down to what
 * somebody outside must do. A circle is told as one.
 */
export function blame(waiting: readonly Step[]): string[] {
  const wants = new Map(waiting.map(({ task, wants }) => [task, wants]));
  return waiting.map(({ task }) => `${task.name} ${reason(wants, task, new Set())}`);
}

function reason(wants: ReadonlyMap<Task, Step['wants']>, task: Task, seen: Set<Task>): string {
  const wanted = wants.get(task);
  if (wanted === undefined) return 'runs';
  if (seen.has(task)) return 'waits for itself: a deadlock';
  seen.add(task);
  const [holder] = wanted.holders?.() ?? [];
  if (holder === undefined) return `waits for ${wanted.blockedBy?.() ?? wanted.name}`;
  return `waits for ${wanted.name}, held by ${holder.name}, which ${reason(wants, holder, seen)}`;
}
