/** Who waits for whom, as threads that stay tell it. */
import { expect, test } from 'vitest';
import { blame, blamed } from '../../explore/blame.ts';
import { Threads } from '../../explore/threads.ts';
import { Completion } from '../../impl/kernel/completion.ts';
import { Mutex } from '../../impl/kernel/mutex.ts';
import { Rwsem } from '../../impl/kernel/rwsem.ts';
import { Kernel, Task, type Thread, type WaitPoint } from '../../impl/kernel/thread.ts';
import { Work, Workqueue } from '../../impl/kernel/workqueue.ts';

const kernel = new Kernel();

/** Waits for one thing after the other; what it is to leave is left when the other is there. */
function* taking(...wanted: readonly WaitPoint[]): Thread<string> {
  for (const each of wanted) yield each;
  return 'done';
}

function started(...threads: readonly (readonly [string, Thread<string>])[]): Threads<string> {
  const all = new Threads<string>();
  for (const [name, thread] of threads) all.start({ task: new Task(name, kernel), thread });
  all.settle(0);
  return all;
}

test('a thread that waits for somebody outside says for what; for one that waits for nobody a wake-up was lost', () => {
  const all = started(
    ['a', taking(new Completion('c', { owed: () => 'the unmap of nic' }))],
    ['b', taking(new Completion('d'))],
  );
  expect(blamed(all.waiting)).toEqual([
    { verdict: 'environment', line: 'a waits for the unmap of nic' },
    { verdict: 'lost wake-up', line: 'b waits for whoever must complete it' },
  ]);
});

test('a chain is told to its end, through a mutex and through both sides of a semaphore', () => {
  const [m, sem, end] = [new Mutex('m', 'pages.mutex'), new Rwsem('sem', 'domains_rwsem'), new Completion('end')];
  const all = started(
    ['reader', taking(sem.read, end)],
    ['writer', taking(sem.write)],
    ['owner', taking(m, sem.write)],
    ['last', taking(m)],
  );
  const reader = 'held by reader, which waits for whoever must complete it';
  expect(blame(all.waiting)).toEqual([
    'reader waits for whoever must complete it',
    `writer waits for sem(W), ${reader}`,
    `owner waits for sem(W), ${reader}`,
    `last waits for m, held by owner, which waits for sem(W), ${reader}`,
  ]);
});

test('whoever holds a semaphore for writing is to blame by those who want to read', () => {
  const [sem, end] = [new Rwsem('sem', 'domains_rwsem'), new Completion('end', { owed: () => 'the end' })];
  const all = started(['writer', taking(sem.write, end)], ['reader', taking(sem.read)]);
  expect(blame(all.waiting)[1]).toBe('reader waits for sem(R), held by writer, which waits for the end');
});

test('a circle is told as one', () => {
  const [a, b] = [new Mutex('a', 'pages.mutex'), new Mutex('b', 'ioas.mutex')];
  const go = new Completion('go', { owed: () => 'the start' });
  const all = started(['one', taking(a, go, b)], ['two', taking(b, go, a)]);
  // Lockdep would not have it: the second order is never asked for.
  const [, two] = all.waiting;
  const waiting = [
    { task: (all.waiting[0] as (typeof all.waiting)[number]).task, wants: b },
    { task: (two as (typeof all.waiting)[number]).task, wants: a },
  ];
  expect(blamed(waiting)[0]).toEqual({
    verdict: 'deadlock',
    line: 'one waits for b, held by two, which waits for a, held by one, which waits for itself: a deadlock',
  });
});

test('a holder that is not among those who wait runs', () => {
  const m = new Mutex('m', 'pages.mutex');
  const all = started(['one', taking(m, new Completion('c'))], ['two', taking(m)]);
  expect(blamed(all.waiting.slice(1))).toEqual([
    { verdict: 'running', line: 'two waits for m, held by one, which runs' },
  ]);
});

test('who goes first is counted round from the given place', () => {
  const go = new Completion('go');
  const all = started(['a', taking(go)], ['b', taking(go)], ['c', taking(go)]);
  go.complete();
  expect(all.settle(1).map(({ name }) => name)).toEqual(['b', 'c', 'a']);
});

test('a thread that fails waits for nobody any more', () => {
  function* failing(): Thread<string> {
    yield new Mutex('m', 'pages.mutex');
    throw new Error('it fails');
  }
  const all = new Threads<string>();
  all.start({ task: new Task('a', kernel), thread: failing() });
  expect(() => all.settle(0)).toThrow('it fails');
  expect(all.waiting).toEqual([]);
});

test('work is queued once until it is done, and may be queued again', () => {
  const queue = new Workqueue();
  const end = new Completion('end', { owed: () => 'the end' });
  function* run(): Thread {
    yield end;
  }
  const work = new Work('work', run);
  expect([work.ready(), queue.queue(work), queue.queue(work), work.ready()]).toEqual([true, true, false, false]);
  const taken = queue.take() as Work;
  expect([taken, queue.take()]).toEqual([work, undefined]);
  function* worker(): Thread<string> {
    yield* taken.thread();
    return 'done';
  }
  const all = started(['worker', worker()], ['flush', taking(work)]);
  expect([queue.queue(work), blame(all.waiting)[1]]).toEqual([
    false,
    'flush waits for work, which is up to worker, which waits for the end',
  ]);
  end.complete();
  expect(all.settle(0).map(({ name }) => name)).toEqual(['worker', 'flush']);
  expect(queue.queue(work)).toBe(true);
});

test('work that is queued, and that no worker has taken, is up to somebody outside', () => {
  const work = new Work('work', function* (): Thread {});
  new Workqueue().queue(work);
  expect(blamed(started(['a', taking(work)]).waiting)).toEqual([{ verdict: 'environment', line: 'a waits for work' }]);
});
