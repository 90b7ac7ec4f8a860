/** Strategies, each by what it promises, and that a run of any can be had again from its schedule. */
import { expect, test } from 'vitest';
import { Exhaustive } from '../../explore/exhaustive.ts';
import {
  type Branch,
  type Choose,
  Interleaving,
  interleave,
  type Schedule,
  type Situation,
} from '../../explore/interleave.ts';
import { Pct } from '../../explore/pct.ts';
import { Prng } from '../../explore/prng.ts';
import { RandomWalk } from '../../explore/random-walk.ts';
import { Reduced } from '../../explore/reduced.ts';
import { Replay } from '../../explore/replay.ts';
import { RoundRobin } from '../../explore/round-robin.ts';
import { Recorder, readSchedule, showSchedule } from '../../explore/schedule.ts';
import { explore, type Strategy } from '../../explore/strategy.ts';
import { Kernel, preempt, Task, type Thread } from '../../impl/kernel/thread.ts';
import { type Program, runProgram } from './lock-programs.ts';

const PROGRAM: Program = [
  [{ do: 'change', lock: 0 }, { do: 'lockless' }],
  [
    { do: 'wait', completion: 0 },
    { do: 'nest', outer: 0, inner: 1 },
  ],
  [
    { do: 'complete', completion: 0 },
    { do: 'change', lock: 0 },
  ],
];

/** The order of the steps, by branch, that a chooser brings about, and how it ends. */
function orderOf(choose: Choose): string {
  let order = '';
  const end = runProgram(PROGRAM, (length, at) => {
    const place = choose(length, at);
    order += at.queue[place % length];
    return place;
  });
  return `${order} ${end}`;
}

test.each<[name: string, make: () => Strategy]>([
  ['random walk', () => new RandomWalk(1)],
  ['PCT of depth 1', () => new Pct({ seed: 1, depth: 1 })],
  ['PCT of depth 3', () => new Pct({ seed: 1, depth: 3 })],
  ['round robin', () => new RoundRobin()],
  ['exhaustive', () => new Exhaustive()],
  ['exhaustive with 1 preemption', () => new Exhaustive(1)],
  ['reduced', () => new Reduced()],
])('a run of any strategy can be had again from its schedule, written and read: %s', (_, make) => {
  const orders = new Set<string>();
  const run = (choose: Choose): void => {
    const recorder = new Recorder(choose);
    const order = orderOf(recorder.choose);
    orders.add(order);
    const schedule = readSchedule(showSchedule(recorder.schedule)) as Schedule;
    explore(new Replay(schedule), (replay) => expect(orderOf(replay)).toBe(order));
  };
  explore(make(), run, 200);
  expect(orders.size).toBeGreaterThan(2);
});

/** Branches of so many steps, none of which waits. */
function steps(lengths: readonly number[], log: string[] = []): Branch<void>[] {
  const kernel = new Kernel();
  return lengths.map((length, i) => ({ task: new Task(`${i}`, kernel), thread: walking(log, i, length) }));
}

function* walking(log: string[], i: number, length: number): Thread {
  for (let at = 1; ; at++) {
    log.push(`${i}`);
    if (at === length) return;
    yield preempt;
  }
}

function ordersOf(strategy: Strategy, lengths: readonly number[], most?: number): string[] {
  const orders: string[] = [];
  const run = (choose: Choose): void => {
    const log: string[] = [];
    interleave(steps(lengths, log), choose);
    orders.push(log.join(''));
  };
  explore(strategy, run, most);
  return orders;
}

test('round robin gives everybody one step, then two, and so on, and each is first once', () => {
  expect(ordersOf(new RoundRobin(), [3, 2])).toEqual(['01010', '10100', '00110', '11000', '00011', '11000']);
});

test('replay runs once, as the schedule has it', () => {
  expect(ordersOf(new Replay([{ after: 2, to: 1 }]), [3, 2])).toEqual(['00110']);
});

test.each<[bound: number, runs: number]>([
  [0, 2],
  [1, 7],
  [2, 19],
  [3, 28],
  [6, 35],
  [Number.POSITIVE_INFINITY, 35],
])('exhaustive with at most %f preemptions visits each such schedule once: %i', (bound, runs) => {
  const orders = ordersOf(new Exhaustive(bound), [4, 3]);
  expect([orders.length, new Set(orders).size]).toEqual([runs, runs]);
  // A switch from a thread that has ended is free.
  for (const order of orders) expect(preemptionsIn(order, [4, 3])).toBeLessThanOrEqual(bound);
});

function preemptionsIn(order: string, lengths: readonly number[]): number {
  const left = [...lengths];
  let preemptions = 0;
  for (const [i, who] of [...order].entries()) {
    left[Number(who)]!--;
    const next = order[i + 1];
    if (next !== undefined && next !== who && left[Number(who)]! > 0) preemptions++;
  }
  return preemptions;
}

test('random walk comes by every order, and the same seed by the same', () => {
  const orders = ordersOf(new RandomWalk(7), [3, 3], 1000);
  expect(new Set(orders).size).toBe(20);
  expect(ordersOf(new RandomWalk(7), [3, 3], 1000)).toEqual(orders);
  expect(ordersOf(new RandomWalk(8), [3, 3], 1000)).not.toEqual(orders);
});

test('PCT of depth d interrupts nobody more than d - 1 times in a run', () => {
  for (const depth of [1, 2, 3]) {
    const most = Math.max(...ordersOf(new Pct({ seed: 3, depth }), [5, 5], 500).map((it) => preemptionsIn(it, [5, 5])));
    expect([depth, most]).toEqual([depth, depth - 1]);
  }
});

test('PCT changes priorities where there is somebody to make way for, however long one goes on alone before', () => {
  const at = { runs: [{}, {}], queue: [0, 1], last: 0 } as unknown as Situation;
  const changed = Array.from({ length: 20 }, (_, seed) => {
    const pct = new Pct({ seed, depth: 2, steps: 4 });
    pct.begin();
    for (let alone = 0; alone < 50; alone++) expect(pct.choose(1, at)).toBe(0);
    return new Set([1, 2, 3, 4].map(() => pct.choose(2, at))).size === 2;
  });
  // In the others it changes before the first of the four.
  expect(changed.filter((it) => it).length).toBeGreaterThan(10);
});

/** Threads of `steps` steps each; broken when the second does all of its own within two certain steps of the first. */
function brokenBetween(steps: number, at: number): (choose: Choose) => boolean {
  return (choose) => {
    let [first, second, broken] = [0, 0, false];
    function* a(): Thread {
      for (first = 1; first < steps; first++) {
        const before = second;
        yield preempt;
        if ((first === at || first === at + 1) && before === 0 && second === steps) broken = true;
      }
    }
    function* b(): Thread {
      for (second = 1; second < steps; second++) yield preempt;
    }
    const kernel = new Kernel();
    new Interleaving([a(), b()].map((thread, i) => ({ task: new Task(`${i}`, kernel), thread }))).go(choose);
    return broken;
  };
}

/** Runs until it breaks; at most 100,000. */
function runsUntilBroken(strategy: Strategy, breaks: (choose: Choose) => boolean): number {
  let runs = 0;
  for (let broken = false; !broken && runs < 100_000; runs++) {
    strategy.begin();
    broken = breaks(strategy.choose);
  }
  return runs;
}

test('PCT of depth 2 finds a bug of depth 2 within n k runs on average, over 50 seeds', () => {
  const [threads, each] = [2, 20];
  const bound = threads * (threads * each);
  let runs = 0;
  for (let seed = 0; seed < 50; seed++) {
    runs += runsUntilBroken(new Pct({ seed, depth: 2 }), brokenBetween(each, 7));
  }
  expect(runs / 50).toBeLessThanOrEqual(bound);
  // It takes luck: two orders have to be right.
  expect(runs / 50).toBeGreaterThan(10);
});

test('PCT of depth 1 never finds a bug of depth 2, and a random walk hardly', () => {
  const breaks = brokenBetween(20, 7);
  let [pct, walked] = [0, 0];
  const [strategy, walk] = [new Pct({ seed: 1, depth: 1 }), new RandomWalk(1)];
  for (let i = 0; i < 2000; i++) {
    strategy.begin();
    if (breaks(strategy.choose)) pct++;
    if (breaks(walk.choose)) walked++;
  }
  expect([pct, walked]).toEqual([0, 0]);
});

test('explore stops after so many runs, and says that there is more', () => {
  const lengths = [3, 3];
  const run = (choose: Choose): void => void interleave(steps(lengths), choose);
  expect(explore(new Exhaustive(), run, 7)).toEqual({ explored: 7, pruned: 0, complete: false });
  expect(explore(new Exhaustive(), run)).toEqual({ explored: 20, pruned: 0, complete: true });
});

test('random numbers are below what is asked, all of them come, and none is preferred', () => {
  const random = new Prng(20261121);
  const seen = new Array<number>(6).fill(0);
  for (let i = 0; i < 6000; i++) seen[random.below(6)]!++;
  expect(seen).toHaveLength(6);
  expect(Math.min(...seen)).toBeGreaterThan(850);
});

test.each(['', '3', '3>', '3>1,0>2', '-1>0', '3>1 x', '1e3>1'])('%j is no schedule', (text) => {
  expect(readSchedule(text)).toBeUndefined();
});
