/**
 * Scheduled steps a second on one core: three threads that count under a lock and without one, as kernel threads under
 * a random walk, and as async functions under `fc.scheduler`; and three system calls of the implementation.
 */
import * as fc from 'fast-check';
import { type Branch, type Choose, Interleaving } from '../explore/interleave.ts';
import { RandomWalk } from '../explore/random-walk.ts';
import { Mutex } from '../impl/kernel/mutex.ts';
import { Kernel, preempt, Task, type Thread } from '../impl/kernel/thread.ts';
import type { Case } from '../properties/races/race.ts';
import { Run } from '../properties/races/run.ts';
import { ATTACHED, MAP, OFF, unmap } from '../properties/races/steps.ts';
import { median } from './rounds.ts';
import { printTable, times, whole } from './table.ts';

const ROUNDS = 7;
const MILLISECONDS = 500;
const THREADS = ['a', 'b', 'c'];
/** Of each thread: take the lock, count, and count once more without it. */
const COUNTS = 20;

/** Milliseconds of processor time of this process: it stands while others have the core. */
function now(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** A competitor makes steps, until so many milliseconds are over; how long that took, and how many they were. */
type Measured = { readonly steps: number; readonly seconds: number };

export async function schedules(): Promise<void> {
  const competitors: [name: string, run: (milliseconds: number) => Measured | Promise<Measured>][] = [
    ['three kernel threads', kernelThreads],
    ['the same, fc.scheduler', asyncFunctions],
    ['map, unmap and revoke', (milliseconds) => systemCalls(milliseconds, false)],
    ['the same, with their worlds', (milliseconds) => systemCalls(milliseconds, true)],
  ];
  const rates = competitors.map((): number[] => []);
  for (let round = -1; round < ROUNDS; round++) {
    for (const [i, [, run]] of competitors.entries()) {
      const { steps, seconds } = await run(MILLISECONDS);
      // The first round is for the compiler.
      if (round >= 0) rates[i]?.push(steps / seconds);
    }
  }
  const medians = rates.map((each) => median(each));
  printTable(
    ['scheduled steps, one core', 'steps/s', 'µs/step', 'than fc.scheduler'],
    competitors.map(([name], i) => {
      const rate = medians[i] as number;
      return [name, whole(rate), (1e6 / rate).toFixed(2), times(rate / (medians[1] as number))];
    }),
  );
  console.log(`Medians of ${ROUNDS} rounds, in turn. Targets: 500,000 steps/s, 20×.\n`);
}

interface Counters {
  under: number;
  without: number;
}

function kernelThreads(milliseconds: number): Measured {
  const walk = new RandomWalk(1);
  const start = now();
  let steps = 0;
  const choose: Choose = (queueLength, at) => {
    steps++;
    return walk.choose(queueLength, at);
  };
  while (now() - start < milliseconds) {
    const [lock, counters] = [new Mutex('counters', 'ioas.mutex'), { under: 0, without: 0 }];
    const kernel = new Kernel();
    const branches = THREADS.map((name): Branch<void> => {
      return { task: new Task(name, kernel), thread: counting(lock, counters) };
    });
    new Interleaving(branches).go(choose);
    mustBe(counters.under, THREADS.length * COUNTS);
  }
  return { steps, seconds: (now() - start) / 1000 };
}

function* counting(lock: Mutex, counters: Counters): Thread {
  for (let i = 0; i < COUNTS; i++) {
    yield lock;
    const before = counters.under;
    yield preempt;
    counters.under = before + 1;
    lock.release();
    const without = counters.without;
    yield preempt;
    counters.without = without + 1;
  }
}

/** fast-check draws the order of the tasks; nothing else is drawn, and nothing shrinks. */
async function asyncFunctions(milliseconds: number): Promise<Measured> {
  const start = now();
  let steps = 0;
  for (let seed = 1; now() - start < milliseconds; seed++) {
    const property = fc.asyncProperty(fc.scheduler(), async (scheduler) => {
      const [lock, counters] = [new AsyncMutex(), { under: 0, without: 0 }];
      const step = async (): Promise<void> => {
        await scheduler.schedule(Promise.resolve());
        steps++;
      };
      const all = THREADS.map(() => countingAsync(lock, counters, step));
      await scheduler.waitFor(Promise.all(all));
      mustBe(counters.under, THREADS.length * COUNTS);
    });
    await fc.assert(property, { seed, numRuns: 10 });
  }
  return { steps, seconds: (now() - start) / 1000 };
}

async function countingAsync(lock: AsyncMutex, counters: Counters, step: () => Promise<void>): Promise<void> {
  for (let i = 0; i < COUNTS; i++) {
    await lock.take(step);
    const before = counters.under;
    await step();
    counters.under = before + 1;
    lock.release();
    const without = counters.without;
    await step();
    counters.without = without + 1;
  }
}

/** Who finds it taken sleeps until it is released, and is scheduled again. */
class AsyncMutex {
  #taken = false;
  readonly #sleeping: (() => void)[] = [];

  async take(step: () => Promise<void>): Promise<void> {
    await step();
    while (this.#taken) {
      await new Promise<void>((resolve) => this.#sleeping.push(resolve));
      await step();
    }
    this.#taken = true;
  }

  release(): void {
    this.#taken = false;
    for (const wake of this.#sleeping.splice(0)) wake();
  }
}

function mustBe(count: number, wanted: number): void {
  if (count !== wanted) throw new Error(`${count} counted under the lock, not ${wanted}`);
}

/** Nobody judges how it ends. */
const THREE_CALLS: Case = { from: 'one domain', before: ATTACHED, actors: [MAP, unmap(), OFF], ends: [] };

/** A race of the implementation itself: the steps of its threads alone, or with making the world that they run in. */
function systemCalls(milliseconds: number, worlds: boolean): Measured {
  const walk = new RandomWalk(1);
  let [steps, seconds] = [0, 0];
  const choose: Choose = (queueLength, at) => {
    steps++;
    return walk.choose(queueLength, at);
  };
  for (const end = now() + milliseconds; now() < end; ) {
    const before = now();
    const all = new Interleaving(new Run(THREE_CALLS).branches());
    const made = now();
    all.go(choose);
    seconds += (now() - (worlds ? before : made)) / 1000;
  }
  return { steps, seconds };
}
