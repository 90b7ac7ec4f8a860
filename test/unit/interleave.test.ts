import { expect, test } from 'vitest';
import { exhaust, NotDeterministic } from '../../explore/exhaustive.ts';
import { type Branch, following, interleave, type Schedule } from '../../explore/interleave.ts';
import { Mutex } from '../../impl/kernel/mutex.ts';
import { Splat } from '../../impl/kernel/splat.ts';
import { current, Kernel, preempt, switchTo, Task, type Thread } from '../../impl/kernel/thread.ts';

/** A thread that says its name at every step, `steps` times. */
function* saying(log: string[], name: string, steps: number): Thread<string> {
  for (let i = 1; ; i++) {
    log.push(name);
    if (i === steps) return `${name} done`;
    yield preempt;
  }
}

function branches(log: string[], lengths: Readonly<Record<string, number>>): Branch<string>[] {
  const kernel = new Kernel();
  return Object.entries(lengths).map(([name, steps]) => ({
    task: new Task(name, kernel),
    thread: saying(log, name, steps),
  }));
}

test.each<[what: string, schedule: Schedule, order: string]>([
  ['sequential without a preemption', [], 'aaabbbccc'],
  ['another first when it hands over after 0 steps', [{ after: 0, to: 1 }], 'bbbcccaaa'],
  ['the last first when it hands over two places', [{ after: 0, to: 2 }], 'cccaaabbb'],
  ['back where it was when it hands over all the way round', [{ after: 1, to: 3 }], 'aaabbbccc'],
  ['one switch after one step', [{ after: 1, to: 1 }], 'abbbcccaa'],
  [
    'two switches, the second counted from the first',
    [
      { after: 2, to: 1 },
      { after: 1, to: 1 },
    ],
    'aabcccabb',
  ],
  ['a switch that comes after the end of all, and so never', [{ after: 9, to: 1 }], 'aaabbbccc'],
])('interleave follows the schedule: %s', (_, schedule, order) => {
  const log: string[] = [];
  const answers = interleave(branches(log, { a: 3, b: 3, c: 3 }), following(schedule));
  expect(log.join('')).toBe(order);
  expect(answers).toEqual(['a done', 'b done', 'c done']);
});

test('interleave puts the task on the CPU for each of its steps, and afterwards whoever was there', () => {
  const kernel = new Kernel();
  const outside = new Task('outside', kernel);
  function* askingWho(): Thread<string[]> {
    const seen = [current().name];
    yield preempt;
    return [...seen, current().name];
  }
  const pair = ['a', 'b'].map((name) => ({ task: new Task(name, kernel), thread: askingWho() }));
  switchTo(outside);
  try {
    expect(interleave(pair, () => 1)).toEqual([
      ['a', 'a'],
      ['b', 'b'],
    ]);
    expect(current()).toBe(outside);
  } finally {
    switchTo(undefined);
  }
});

test('interleave tells its watcher of every step: who, and where it stopped', () => {
  const seen: string[] = [];
  interleave(branches([], { a: 2, b: 1 }), following([{ after: 1, to: 1 }]), ({ task, wants }) => {
    seen.push(`${task.name} ${wants?.name ?? 'ends'}`);
  });
  expect(seen).toEqual(['a preempt', 'b ends', 'a ends']);
});

/** Takes one lock after the other, and lets go of both, or forgets to. */
function* taking(first: Mutex, second: Mutex, forgetful = false): Thread {
  yield first;
  yield second;
  if (forgetful) return;
  second.release();
  first.release();
}

test('interleave does not let a thread enter a lock while another holds it', () => {
  const kernel = new Kernel();
  const [outer, inner] = [new Mutex('outer', 'dev_set.lock'), new Mutex('inner', 'memory_lock')];
  const pair = ['a', 'b'].map((name) => ({ task: new Task(name, kernel), thread: taking(outer, inner) }));
  const order: string[] = [];
  interleave(pair, following([{ after: 2, to: 1 }]), ({ task, wants }) => {
    order.push(`${task.name} ${wants?.name ?? 'ends'}`);
  });
  // b stops at the lock that a holds; a goes on, whatever the schedule says.
  expect(order).toEqual(['a outer', 'a inner', 'b outer', 'a ends', 'b inner', 'b ends']);
});

test('interleave splats with who waits for whom, when nobody is ready', () => {
  const [one, two] = [new Mutex('one', 'dev_set.lock'), new Mutex('two', 'memory_lock')];
  // Lockdep would speak up first, so each thread has a kernel of its own.
  const pair = [
    { task: new Task('a', new Kernel()), thread: taking(one, two) },
    { task: new Task('b', new Kernel()), thread: reversed(one, two) },
  ];
  expect(splatOf(() => interleave(pair, following([{ after: 2, to: 1 }])))).toBe(
    'deadlock: a waits for two, blocked by its owner b; b waits for one, blocked by its owner a',
  );
});

/** The wrong way round, which only the first step of the other tells. */
function* reversed(one: Mutex, two: Mutex): Thread {
  yield* taking(two, one);
}

test('interleave keeps lockdep on: one kernel refuses two orders of two locks, when nobody has to wait', () => {
  const kernel = new Kernel();
  const [one, two] = [new Mutex('one', 'dev_set.lock'), new Mutex('two', 'memory_lock')];
  const pair = [
    { task: new Task('a', kernel), thread: taking(one, two) },
    { task: new Task('b', kernel), thread: reversed(one, two) },
  ];
  expect(splatOf(() => interleave(pair, following([])))).toBe(
    'lockdep: one taken while two held, against the lock order: dev_set.lock ⊃ memory_lock (documented)',
  );
});

test('interleave splats at a thread that ends with a lock held', () => {
  const [one, two] = [new Mutex('one', 'dev_set.lock'), new Mutex('two', 'memory_lock')];
  const forgetful = [{ task: new Task('a', new Kernel()), thread: taking(one, two, true) }];
  expect(splatOf(() => interleave(forgetful, () => 0))).toBe('lockdep: a ends holding one, two');
});

test('interleave splats at a thread that ends with work undone that it has deferred', () => {
  function* deferring(): Thread {
    current().work.push(deferring);
  }
  const branch = { task: new Task('a', new Kernel()), thread: deferring() };
  expect(splatOf(() => interleave([branch], () => 0))).toBe('leak: a ends with deferred work undone');
});

test('interleave passes on what a thread throws, and takes its task off the CPU', () => {
  function* failing(): Thread {
    throw new Splat('WARN', 'no further');
  }
  expect(splatOf(() => interleave([{ task: new Task('a', new Kernel()), thread: failing() }], () => 0))).toBe(
    'WARN: no further',
  );
  expect(splatOf(current)).toBe('WARN: kernel code outside of a task');
});

const splatOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof Splat) return error.message;
    throw error;
  }
  return 'no splat';
};

test.each<[lengths: Record<string, number>, schedules: number]>([
  [{ a: 3 }, 1],
  [{ a: 1, b: 1 }, 2],
  [{ a: 3, b: 3 }, 20],
  [{ a: 4, b: 5 }, 126],
  [{ a: 2, b: 2, c: 2 }, 90],
])('exhaust visits every order of the steps exactly once, for threads of %o steps', (lengths, schedules) => {
  const orders = new Set<string>();
  const runs = exhaust((choose) => {
    const log: string[] = [];
    interleave(branches(log, lengths), choose);
    orders.add(log.join(''));
  });
  expect({ runs, orders: orders.size }).toEqual({ runs: schedules, orders: schedules });
});

test('exhaust begins with the sequential run, and changes the last choice first', () => {
  const orders: string[] = [];
  exhaust((choose) => {
    const log: string[] = [];
    interleave(branches(log, { a: 2, b: 2 }), choose);
    orders.push(log.join(''));
  });
  expect(orders).toEqual(['aabb', 'abba', 'abab', 'bbaa', 'baab', 'baba']);
});

test.each<[what: string, lengths: readonly number[], message: string]>([
  ['offers other choices', [3, 2], 'choice 1 was among 3, and is among 2 now'],
  ['ends earlier', [2, 0], 'a run ended after 0 of 1 choices'],
])('exhaust refuses a run that, the second time, %s', (_, lengths, message) => {
  let run = 0;
  const changing = (): number =>
    exhaust((choose) => {
      const places = lengths[run++] ?? 0;
      if (places > 0) choose(places);
    });
  expect(changing).toThrow(NotDeterministic);
  run = 0;
  expect(changing).toThrow(message);
});
