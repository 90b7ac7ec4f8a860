/** Mutexes, reader/writer semaphores, completions: who may enter, and what a debug kernel says to misuse. */
import { describe, expect, test } from 'vitest';
import { Completion } from '../../impl/kernel/completion.ts';
import { assertHeld, Mutex } from '../../impl/kernel/mutex.ts';
import { assertHeldAny, assertHeldWrite, Rwsem } from '../../impl/kernel/rwsem.ts';
import { Kernel, switchTo, Task } from '../../impl/kernel/thread.ts';
import { splatOf } from './kernel-rig.ts';

/** Tasks of one kernel, of which each runs by turns. */
function tasks(): { a: Task; b: Task; as: <T>(task: Task, work: () => T) => T } {
  const kernel = new Kernel();
  const as = <T>(task: Task, work: () => T): T => {
    const before = switchTo(task);
    try {
      return work();
    } finally {
      switchTo(before);
    }
  };
  return { a: new Task('a', kernel), b: new Task('b', kernel), as };
}

const mutex = (): Mutex => new Mutex('m', 'ioas.mutex');
const rwsem = (): Rwsem => new Rwsem('s', 'iova_rwsem');

describe('a mutex', () => {
  test('is ready while nobody owns it, and belongs to who entered', () => {
    const { a, b, as } = tasks();
    const m = mutex();
    expect([m.ready(), m.locked, m.blockedBy()]).toEqual([true, false, 'nobody']);
    m.enter(a);
    expect([m.ready(), m.locked, m.blockedBy()]).toEqual([false, true, 'its owner a']);
    expect([m.heldBy(a), m.heldBy(b), a.held]).toEqual([true, false, [m]]);
    as(a, () => m.release());
    expect([m.ready(), a.held]).toEqual([true, []]);
  });

  test.each<[what: string, work: (m: Mutex, t: ReturnType<typeof tasks>) => unknown, message: string]>([
    ['at a release by nobody', (m, { a, as }) => as(a, () => m.release()), 'lockdep: m released by a stranger'],
    [
      'at a release by another',
      (m, { a, b, as }) => {
        m.enter(a);
        as(b, () => m.release());
      },
      'lockdep: m released by a stranger',
    ],
    [
      'at being destroyed while held',
      (m, { a }) => {
        m.enter(a);
        m.destroy();
      },
      'use after free: an observer destroys m, held by a',
    ],
    [
      'at being taken when destroyed',
      (m, { a }) => {
        m.destroy();
        m.enter(a);
      },
      'use after free: a takes m after mutex_destroy by an observer',
    ],
    ['where it must be held, and is not', (m, { a, as }) => as(a, () => assertHeld(m)), 'lockdep: m must be held here'],
    [
      'where it must be held, and another holds it',
      (m, { a, b, as }) => {
        m.enter(b);
        as(a, () => assertHeld(m));
      },
      'lockdep: m must be held here',
    ],
  ])('splats %s', (_, work, message) => {
    expect(splatOf(() => work(mutex(), tasks()))).toBe(message);
  });

  test('passes its assertion in the hands of its owner', () => {
    const { a, as } = tasks();
    const m = mutex();
    m.enter(a);
    expect(as(a, () => assertHeld(m))).toBe(undefined);
  });

  test('leaves the list of a task wherever it stands in it', () => {
    const { a, as } = tasks();
    const [outer, inner] = [new Mutex('outer', 'ioas.mutex'), new Mutex('inner', 'igroup.lock')];
    outer.enter(a);
    inner.enter(a);
    as(a, () => outer.release());
    expect(a.held).toEqual([inner]);
  });
});

describe('a semaphore', () => {
  test('lets readers in together, and a writer in alone', () => {
    const { a, b, as } = tasks();
    const s = rwsem();
    s.read.enter(a);
    expect([s.read.ready(), s.write.ready(), s.locked]).toEqual([true, false, true]);
    s.read.enter(b);
    expect(s.write.blockedBy?.()).toBe('its readers a, b');
    as(a, () => s.releaseRead());
    as(b, () => s.releaseRead());
    s.write.enter(b);
    expect([s.read.ready(), s.write.ready(), s.locked]).toEqual([false, false, true]);
    expect(s.read.blockedBy?.()).toBe('its writer b');
    as(b, () => s.releaseWrite());
    expect([s.read.ready(), s.write.ready(), s.locked, a.held, b.held]).toEqual([true, true, false, [], []]);
  });

  test('says who holds it, and for what', () => {
    const { a, b } = tasks();
    const [reading, writing] = [rwsem(), rwsem()];
    reading.read.enter(a);
    writing.write.enter(b);
    expect([reading.heldBy(a), reading.heldBy(b), reading.heldForWrite(a)]).toEqual([true, false, false]);
    expect([writing.heldBy(b), writing.heldBy(a), writing.heldForWrite(b)]).toEqual([true, false, true]);
  });

  test('is had by trylock when it is free, and left alone when it is not', () => {
    const { a, b, as } = tasks();
    const s = rwsem();
    expect(as(a, () => s.tryWrite())).toBe(true);
    expect([s.heldForWrite(a), a.held]).toEqual([true, [s.write]]);
    expect(as(b, () => s.tryWrite())).toBe(false);
    expect(b.held).toEqual([]);
    as(a, () => s.releaseWrite());
    s.read.enter(b);
    expect(as(a, () => s.tryWrite())).toBe(false);
  });

  test('may be tried against the lock order, because nobody waits', () => {
    const { a, as } = tasks();
    const inner = new Mutex('inner', 'pages.mutex');
    inner.enter(a);
    expect(as(a, () => rwsem().tryWrite())).toBe(true);
    expect(splatOf(() => rwsem().write.enter(a))).toMatch(/^lockdep: s\(W\) taken while/);
  });

  const reading = (s: Rwsem, task: Task): void => s.read.enter(task);
  test.each<[what: string, work: (s: Rwsem, t: ReturnType<typeof tasks>) => unknown, message: string]>([
    ['at a reader who is none', (s, { a, as }) => as(a, () => s.releaseRead()), 's(R) released by a stranger'],
    ['at a writer who is none', (s, { a, as }) => as(a, () => s.releaseWrite()), 's(W) released by a stranger'],
    [
      'at a reader who releases as a writer',
      (s, { a, as }) => {
        reading(s, a);
        as(a, () => s.releaseWrite());
      },
      's(W) released by a stranger',
    ],
    ['where it must be held', (s, { a, as }) => as(a, () => assertHeldAny(s)), 's must be held here'],
    [
      'where it must be held for writing, and is for reading',
      (s, { a, as }) => {
        reading(s, a);
        as(a, () => assertHeldWrite(s));
      },
      's must be held for writing here',
    ],
  ])('splats %s', (_, work, message) => {
    expect(splatOf(() => work(rwsem(), tasks()))).toBe(`lockdep: ${message}`);
  });

  test('passes its assertions in the hands of a reader, and of a writer', () => {
    const { a, b, as } = tasks();
    const [s, t] = [rwsem(), rwsem()];
    s.read.enter(a);
    t.write.enter(b);
    expect([as(a, () => assertHeldAny(s)), as(b, () => assertHeldAny(t)), as(b, () => assertHeldWrite(t))]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});

test('a completion is ready from complete to reset, for any number of waiters', () => {
  const { a } = tasks();
  const done = new Completion('done');
  expect(done.ready()).toBe(false);
  expect(done.blockedBy()).toBe('whoever must complete it');
  done.complete();
  done.enter(a);
  done.enter(a);
  expect(done.ready()).toBe(true);
  done.reset();
  expect(done.ready()).toBe(false);
});
