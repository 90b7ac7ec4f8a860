/** What is judged in a run of a race, and what is told of one that fails: by actors that are wrong on purpose. */
import { expect, test } from 'vitest';
import { Deepening } from '../../explore/deepening.ts';
import { RandomWalk } from '../../explore/random-walk.ts';
import { Reduced } from '../../explore/reduced.ts';
import { Completion } from '../../impl/kernel/completion.ts';
import { Kref } from '../../impl/kernel/kref.ts';
import { Mutex } from '../../impl/kernel/mutex.ts';
import { current, preempt, type Thread } from '../../impl/kernel/thread.ts';
import type { Machine } from '../../impl/machine.ts';
import { missingOf } from '../../properties/races/judge.ts';
import { type Case, end, type Race } from '../../properties/races/race.ts';
import { type Failure, Search, shrinkFailure, tell } from '../../properties/races/search.ts';
import { REVOKE_RACES } from '../../properties/races/tables/iommufd-revoke.ts';
import { CaseTrial } from '../../properties/races/trial.ts';

/** What the actors of one world share; made anew with the world. */
class Shared {
  count = 0;
  readonly locks = [new Mutex('a', 'staccess.lock'), new Mutex('b', 'dev_set.lock')] as const;
  readonly done = new Completion('done');
  readonly answer = new Completion('answer', { owed: () => 'an answer of the device' });
  readonly kref = new Kref('object');
}

type Does = (shared: Shared) => Thread<string>;

/** A race of kernel code in a machine where nothing has been done. */
function caseOf(threads: Readonly<Record<string, Does>>, ...ends: readonly string[]): Case {
  const worlds = new WeakMap<Machine, Shared>();
  const actors = Object.entries(threads).map(([as, does]) => {
    const thread = (machine: Machine): Thread<string> => {
      const shared = worlds.get(machine) ?? new Shared();
      worlds.set(machine, shared);
      return does(shared);
    };
    return { do: 'code', as, thread } as const;
  });
  return { from: 'nothing', before: [], actors, ends: ends.map((answers) => end(answers, '')) };
}

function* counting(shared: Shared): Thread<string> {
  yield preempt;
  const before = shared.count;
  yield preempt;
  shared.count = before + 1;
  return `counts ${shared.count}`;
}

function* bystander(): Thread<string> {
  for (let i = 0; i < 3; i++) yield preempt;
  return 'ok';
}

/** Take both locks; the second of the pair is wanted first by who is `reversed`. */
const nesting = (reversed: boolean): Does =>
  function* ({ locks }) {
    const first: Mutex = locks[reversed ? 1 : 0];
    const second: Mutex = locks[reversed ? 0 : 1];
    yield first;
    yield second;
    second.release();
    first.release();
    return 'ok';
  };

const failureOf = (one: Case): Failure<unknown> => {
  const found = new Search(new CaseTrial(one, 'a test'), new RandomWalk(1)).run(1000);
  if (found === undefined) throw new Error('nothing fails');
  return shrinkFailure(found);
};

test('an outcome that is not allowed: the lost update, with one preemption', () => {
  const failure = failureOf(caseOf({ one: counting, two: counting }, 'counts 1, counts 2', 'counts 2, counts 1'));
  expect([failure.kind, failure.what, failure.schedule]).toEqual([
    'outcome',
    'not allowed: counts 1, counts 1; buffers none',
    [{ after: 2, to: 1 }],
  ]);
  expect(tell(failure)).toEqual([
    'BROKEN: outcome, in a test',
    '',
    'before, behaving as Linux 7.3',
    'and then together',
    '  one: kernel code one',
    '  two: kernel code two',
    'with the schedule 2>1',
    '',
    '      one      two',
    '   1  begins',
    '   2  goes on',
    '  >3           begins',
    '   4           goes on',
    '   5           goes on',
    '               ends',
    '   6  goes on',
    '      ends',
    'not allowed: counts 1, counts 1; buffers none',
  ]);
});

test('an order of locks, in a run where nobody has to wait: the fewest threads are two', () => {
  const failure = failureOf(caseOf({ one: nesting(false), by: bystander, two: nesting(true) }));
  expect([failure.kind, failure.trial.describe().slice(2), failure.schedule]).toEqual([
    'lockdep',
    ['  one: kernel code one', '  two: kernel code two'],
    [],
  ]);
  expect(failure.what).toBe(
    'lockdep: a taken while b held, against the lock order: staccess.lock ⊃ dev_set.lock (one)',
  );
});

test('a lock that is held at the end of a thread', () => {
  function* forgetful({ locks }: Shared): Thread<string> {
    yield locks[0];
    return 'ok';
  }
  const failure = failureOf(caseOf({ by: bystander, one: forgetful }));
  expect([failure.what, failure.trial.threads.length]).toEqual(['lockdep: one ends holding a', 1]);
});

test('a wait that nobody is left to end is a lost wake-up, even where the table allows to be blocked', () => {
  function* waiter({ done }: Shared): Thread<string> {
    yield done;
    return 'ok';
  }
  // Whoever wakes first looks whether anybody sleeps already.
  function* waker({ done, count }: Shared): Thread<string> {
    yield preempt;
    if (count > 0) done.complete();
    return 'ok';
  }
  const threads = { waiter, waker };
  const failure = failureOf(caseOf(threads, 'ok, ok'));
  expect([failure.kind, failure.what]).toEqual([
    'lost wake-up',
    'waiter waits for whoever must complete it; not allowed: blocked, ok; buffers none',
  ]);
  // He who would wake up takes part, or there would be nothing to tell.
  expect(failure.trial.threads).toHaveLength(2);
  expect(failureOf(caseOf(threads, 'blocked, ok'))).toMatchObject({
    kind: 'lost wake-up',
    what: 'waiter waits for whoever must complete it; and it ends: blocked, ok; buffers none',
  });
});

test('a wait for a device that does not answer is up to the environment, where no allowed outcome has it', () => {
  function* waiter({ answer }: Shared): Thread<string> {
    yield answer;
    return 'ok';
  }
  const threads = { waiter, bystander };
  expect(failureOf(caseOf(threads, 'ok, ok'))).toMatchObject({
    kind: 'environment',
    what: 'waiter waits for an answer of the device; not allowed: blocked, ok; buffers none',
  });
  const fine = new Search(new CaseTrial(caseOf(threads, 'blocked, ok'), 'a test'), new Reduced());
  expect([fine.run(), fine.complete]).toEqual([undefined, true]);
});

test('a use of what nobody holds any more', () => {
  function* user({ kref }: Shared): Thread<string> {
    yield preempt;
    kref.get();
    return 'ok';
  }
  function* owner({ kref }: Shared): Thread<string> {
    kref.put();
    yield preempt;
    return 'ok';
  }
  const failure = failureOf(caseOf({ user, owner }, 'ok, ok'));
  expect([failure.kind, failure.what]).toEqual(['refcount', 'refcount: object: get of a dead object']);
});

test('a circle of waiting is a deadlock, and told with who holds what', () => {
  /** Lets go of what it was told to hold, once it has the other: lockdep sees no order, because it is no lock's. */
  function* crosswise(shared: Shared, mine: 0 | 1): Thread<string> {
    yield shared.locks[mine];
    const { held } = current();
    const [lock] = held.splice(0);
    yield shared.locks[mine === 0 ? 1 : 0];
    if (lock !== undefined) held.push(lock);
    const [a, b]: readonly [Mutex, Mutex] = shared.locks;
    a.release();
    b.release();
    return 'ok';
  }
  const failure = failureOf(caseOf({ one: (it) => crosswise(it, 0), two: (it) => crosswise(it, 1) }, 'ok, ok'));
  expect([failure.kind, failure.schedule]).toEqual(['deadlock', [{ after: 2, to: 1 }]]);
  expect(failure.what).toBe(
    'one waits for b, held by two, which waits for a, held by one, which waits for itself: a deadlock',
  );
});

/** MAP_FILE and a revoke, where one domain is. */
const [R1] = REVOKE_RACES as readonly [Race];
const [ONE_DOMAIN] = R1.cases as readonly [Case];

test('a search goes on where it left off, and knows when all was seen', () => {
  const trial = new CaseTrial(ONE_DOMAIN, 'R1');
  const search = new Search(trial, new Reduced());
  expect([search.run(100), search.complete]).toEqual([undefined, false]);
  expect([search.run(1000), search.complete, search.explored, search.pruned]).toEqual([undefined, true, 168, 47]);
  expect(missingOf(trial, search.seen)).toEqual([]);
  const more = new CaseTrial({ ...ONE_DOMAIN, ends: [...ONE_DOMAIN.ends, end('EBUSY, ok', 'TEMP')] }, 'R1');
  expect(missingOf(more, search.seen)).toEqual(['EBUSY, ok; buffers TEMP']);
});

test('deepening begins with the fewest preemptions, and ends with all that make a difference', () => {
  const search = new Search(new CaseTrial(ONE_DOMAIN, 'R1'), new Deepening());
  expect([search.run(10_000), search.complete, search.seen.size]).toEqual([undefined, true, 2]);
  expect(search.explored).toBeGreaterThan(168);
});
