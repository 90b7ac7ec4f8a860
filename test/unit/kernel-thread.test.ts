import { expect, test } from 'vitest';
import { Completion } from '../../impl/kernel/completion.ts';
import { Mutex } from '../../impl/kernel/mutex.ts';
import { Rwsem } from '../../impl/kernel/rwsem.ts';
import {
  assertIdle,
  current,
  drain,
  Kernel,
  preempt,
  running,
  switchTo,
  syscall,
  Task,
  type Thread,
  type WaitPoint,
} from '../../impl/kernel/thread.ts';
import { splatOf } from './kernel-rig.ts';

const task = (name = 'task', kernel = new Kernel()): Task => new Task(name, kernel);

/** Take what is wanted, and end. */
function* wanting(...wanted: WaitPoint[]): Thread<string> {
  for (const each of wanted) yield each;
  return 'done';
}

test('drain runs a thread to its end, with the task on the CPU, and puts back who was there', () => {
  const [outer, inner] = [task('outer'), task('inner')];
  function* nested(): Thread<string[]> {
    const seen = [current().name];
    yield preempt;
    return [...seen, current().name];
  }
  function* around(): Thread<unknown> {
    const found = drain(inner, nested);
    return [found, current().name];
  }
  expect(drain(outer, around)).toEqual([['inner', 'inner'], 'outer']);
  expect(running()).toBe(undefined);
});

test('drain lets a thread enter each lock before it goes on', () => {
  const mutex = new Mutex('m', 'ioas.mutex');
  const me = task();
  function* locking(): Thread<boolean> {
    yield mutex;
    const had = mutex.heldBy(me);
    mutex.release();
    return had;
  }
  expect(drain(me, locking)).toBe(true);
});

const held = (): Mutex => {
  const mutex = new Mutex('m', 'ioas.mutex');
  mutex.enter(task('other'));
  return mutex;
};
const sem = (side: 'read' | 'write'): Rwsem => {
  const made = new Rwsem('s', 'iova_rwsem');
  made[side].enter(task('other'));
  return made;
};

test.each<[what: string, wanted: WaitPoint, message: string]>([
  ['a mutex of another', held(), 'task waits for m, blocked by its owner other'],
  ['a semaphore that another reads', sem('read').write, 'task waits for s(W), blocked by its readers other'],
  ['a semaphore that another writes', sem('write').read, 'task waits for s(R), blocked by its writer other'],
  ['what nobody completes', new Completion('c'), 'task waits for c, blocked by whoever must complete it'],
  [
    'what does not say',
    { name: 'x', ready: () => false, enter: () => {} },
    'task waits for x, blocked by something that nobody is left to do',
  ],
])('drain splats with who is in the way, when its thread waits for %s', (_, wanted, message) => {
  expect(splatOf(() => drain(task(), () => wanting(wanted)))).toBe(`deadlock: ${message}`);
  expect(running()).toBe(undefined);
});

test('drain splats at a thread that deadlocks with itself', () => {
  const mutex = new Mutex('m', 'ioas.mutex');
  expect(splatOf(() => drain(task(), () => wanting(mutex, mutex)))).toBe(
    'deadlock: task waits for m, blocked by its owner task',
  );
});

test('drain splats at a thread that ends with locks held', () => {
  const [mutex, rwsem] = [new Mutex('m', 'ioas.mutex'), new Rwsem('s', 'iova_rwsem')];
  expect(splatOf(() => drain(task(), () => wanting(mutex, rwsem.read)))).toBe('lockdep: task ends holding m, s(R)');
});

test('deferred work is owed by its task until a system call does it, and a splat for who is back in user space', () => {
  const log: string[] = [];
  function* working(): Thread {
    log.push('worked');
  }
  function* deferring(): Thread {
    current().work.push(working);
  }
  const owing = task();
  drain(owing, deferring);
  expect([log, owing.work]).toEqual([[], [working]]);
  expect(splatOf(() => assertIdle(owing))).toBe('leak: task ends with deferred work undone');
  const me = task();
  drain(me, () => syscall(me, deferring));
  expect([log, me.work, assertIdle(me)]).toEqual([['worked'], [], undefined]);
});

test('assertIdle splats for a task that holds a lock', () => {
  const me = task();
  new Mutex('m', 'ioas.mutex').enter(me);
  expect(splatOf(() => assertIdle(me))).toBe('lockdep: task ends holding m');
});

test('a system call does deferred work in order, and what that defers in turn, after its own', () => {
  const log: string[] = [];
  const me = task();
  const defer = (name: string, then?: string): void => {
    me.work.push(function* (): Thread {
      log.push(name);
      if (then !== undefined) defer(then);
      yield preempt;
    });
  };
  function* operation(): Thread<number> {
    defer('first', 'third');
    defer('second');
    log.push('operation');
    return 5;
  }
  expect(drain(me, () => syscall(me, operation))).toBe(5);
  expect(log).toEqual(['operation', 'first', 'second', 'third']);
});

test('current is a splat outside of any task, and switchTo gives back who was there', () => {
  expect(splatOf(current)).toBe('WARN: kernel code outside of a task');
  const [a, b] = [task('a'), task('b')];
  expect([switchTo(a), switchTo(b), current(), switchTo(undefined)]).toEqual([undefined, a, b, b]);
});
