/** What the unit tests of kernel primitives share: kernel code run by hand, and the splat that it ends with. */
import { Splat } from '../../impl/kernel/splat.ts';
import { drain, Kernel, Task, type Thread } from '../../impl/kernel/thread.ts';

/** Run kernel code that waits for nothing, in a task. */
export function inTask<T>(work: () => T, kernel = new Kernel()): T {
  return drain(new Task('task', kernel), () => plain(work));
}

function* plain<T>(work: () => T): Thread<T> {
  return work();
}

/** The message of the splat, which names its kind; fails when there is none. */
export function splatOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof Splat) return error.message;
    throw error;
  }
  throw new Error('there was no splat');
}

/**
 * Make `work` fail at its first fault point, then at its second, and so on until none is reached; after each failure
 * `check` is asked. How often it failed, at which sites.
 */
export function sweep(kernel: Kernel, work: () => unknown, check: (failed: unknown, site: string) => void): string[] {
  const sites: string[] = [];
  for (let nth = 1; ; nth++) {
    kernel.faults.arm(nth);
    const answer = work();
    const { fired } = kernel.faults;
    kernel.faults.disarm();
    if (!fired) return sites;
    const site = kernel.faults.passed[nth - 1] as string;
    sites.push(site);
    check(answer, site);
  }
}
