/** The reduction loses no outcome: on small cases, all orders and the reduced ones end in the same ways. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Exhaustive, NotDeterministic } from '../../explore/exhaustive.ts';
import type { Choose } from '../../explore/interleave.ts';
import { independent, Reduced } from '../../explore/reduced.ts';
import { type Explored, explore, type Strategy } from '../../explore/strategy.ts';
import { LOCKLESS, read, WORLD, written } from '../../impl/kernel/footprint.ts';
import { preempt } from '../../impl/kernel/thread.ts';
import type { Case, Race } from '../../properties/races/race.ts';
import { Run } from '../../properties/races/run.ts';
import { RESET } from '../../properties/races/steps.ts';
import { REVOKE_RACES } from '../../properties/races/tables/iommufd-revoke.ts';
import { CPU_RACES } from '../../properties/races/tables/vfio-cpu.ts';
import { type Op, type Program, runProgram } from './lock-programs.ts';

const MOST = 20_000;

interface Outcomes extends Explored {
  readonly outcomes: readonly string[];
}

function outcomesOf(strategy: Strategy, run: (choose: Choose) => string): Outcomes {
  const outcomes = new Set<string>();
  const explored = explore(
    strategy,
    (choose) => {
      outcomes.add(run(choose));
    },
    MOST,
  );
  return { ...explored, outcomes: [...outcomes].toSorted() };
}

const change = (lock: number): Op => ({ do: 'change', lock });
const nest = (outer: number, inner: number): Op => ({ do: 'nest', outer, inner });
const sem = (how: 'read' | 'write', number: number): Op => ({ do: how, sem: number });
const on = (how: 'wait' | 'complete', completion: number): Op => ({ do: how, completion });
const lockless: Op = { do: 'lockless' };

test.each<[what: string, program: Program, all: number, reduced: number, outcomes: number]>([
  [
    'two threads under locks of their own',
    [
      [change(0), change(0)],
      [change(1), change(1)],
    ],
    20,
    10,
    1,
  ],
  ['two threads under one lock', [[change(0)], [change(0)]], 6, 6, 2],
  [
    'three threads, each under its own',
    [
      [change(0), change(0)],
      [change(1), change(1)],
      [change(2), change(2)],
    ],
    1680,
    354,
    1,
  ],
  ['a circle of two locks, which may be a deadlock', [[nest(0, 1)], [nest(1, 0)]], 14, 12, 3],
  [
    'readers',
    [
      [sem('read', 0), sem('read', 0)],
      [sem('read', 0), sem('read', 0)],
    ],
    20,
    10,
    1,
  ],
  ['a reader and two writers', [[sem('read', 0)], [sem('write', 0)], [sem('write', 0)]], 90, 90, 6],
  [
    'one who waits for another',
    [
      [on('wait', 0), change(0)],
      [change(0), on('complete', 0)],
    ],
    3,
    3,
    1,
  ],
  ['one who is left waiting', [[on('wait', 0), change(0)], [change(0)]], 3, 3, 1],
  ['a lost update', [[lockless], [lockless]], 20, 20, 4],
])('all orders and the reduced ones end in the same ways: %s', (_, program, all, reduced, outcomes) => {
  const whole = outcomesOf(new Exhaustive(), (choose) => runProgram(program, choose));
  const part = outcomesOf(new Reduced(), (choose) => runProgram(program, choose));
  expect(part.outcomes).toEqual(whole.outcomes);
  expect([whole.explored, part.explored, whole.outcomes.length]).toEqual([all, reduced, outcomes]);
});

const number = (below: number): fc.Arbitrary<number> => fc.nat(below - 1);
/** Of few objects, so that threads meet; and of several steps, because the first of a thread is never swapped. */
const op: fc.Arbitrary<Op> = fc.oneof(
  { weight: 3, arbitrary: number(2).map(change) },
  { weight: 1, arbitrary: fc.constantFrom(nest(0, 1), nest(1, 0)) },
  { weight: 3, arbitrary: fc.constantFrom(sem('read', 0), sem('write', 0)) },
  { weight: 1, arbitrary: fc.constant(lockless) },
  { weight: 1, arbitrary: fc.constantFrom(on('wait', 0), on('complete', 0)) },
);
const programs = fc.oneof(
  fc.array(fc.array(op, { minLength: 3, maxLength: 5 }), { minLength: 2, maxLength: 2 }),
  fc.array(fc.array(op, { minLength: 2, maxLength: 2 }), { minLength: 3, maxLength: 3 }),
);

test('all orders and the reduced ones end in the same ways: random programs of two and three threads', () => {
  let [compared, all, reduced, pruned] = [0, 0, 0, 0];
  fc.assert(
    fc.property(programs, (program) => {
      const whole = outcomesOf(new Exhaustive(), (choose) => runProgram(program, choose));
      if (!whole.complete) return;
      const part = outcomesOf(new Reduced(), (choose) => runProgram(program, choose));
      expect(part.outcomes).toEqual(whole.outcomes);
      compared++;
      all += whole.explored;
      reduced += part.explored;
      pruned += part.pruned;
    }),
    { seed: 20261121, numRuns: 60 },
  );
  expect({ compared, all, reduced, pruned }).toEqual({ compared: 59, all: 102_474, reduced: 57_291, pruned: 3741 });
});

/** A touch of a BAR and memory off. */
const [{ cases: TOUCHES }] = CPU_RACES as readonly [Race];

test('of three system calls, the reduced orders end in each way that orders with two preemptions do', () => {
  const touched = TOUCHES[1] as Case;
  const three: Case = { ...touched, actors: [...touched.actors, RESET] };
  const run = (choose: Choose): string => new Run(three).go(choose).words;
  const [part, some] = [outcomesOf(new Reduced(), run), outcomesOf(new Exhaustive(2), run)];
  expect(part.outcomes).toEqual(some.outcomes);
  expect([part.complete, part.explored, part.outcomes.length]).toEqual([true, 4047, 2]);
});

const FEW: readonly (readonly [name: string, one: Case])[] = [
  ...REVOKE_RACES.slice(0, 3).map((race): [string, Case] => [race.actors, race.cases[0] as Case]),
  ['a touch of a BAR ∥ memory off', TOUCHES[0] as Case],
];

test.each(FEW)('all orders and the reduced ones end in the same ways, and the reduced ones are fewer: %s', (_, one) => {
  const run = (choose: Choose): string => new Run(one).go(choose).words;
  const [whole, part] = [outcomesOf(new Exhaustive(), run), outcomesOf(new Reduced(), run)];
  expect([whole.complete, part.outcomes]).toEqual([true, whole.outcomes]);
  expect(part.explored).toBeLessThan(whole.explored * 0.6);
});

test.each<[what: string, a: number[], b: number[], apart: boolean]>([
  ['different objects', [written(7)], [written(8)], true],
  ['one object, read by both', [read(7)], [read(7)], true],
  ['one object, written by one', [read(7)], [written(7)], false],
  ['the second of each', [written(5), read(7)], [written(9), written(7)], false],
  ['anything, and what nobody can tell', [], [written(WORLD)], false],
  ['what nobody can tell, and anything', [written(WORLD)], [], false],
  ['what has no number of its own', [written(LOCKLESS)], [read(LOCKLESS)], false],
])('steps are independent, or not, by what they touch: %s', (_, a, b, apart) => {
  expect([independent(a, b), independent(b, a)]).toEqual([apart, apart]);
});

test('a run that meets others than the one whose beginning it repeats is refused', () => {
  let run = 0;
  const changing = (choose: Choose): string =>
    runProgram(run++ === 0 ? [[lockless], [lockless]] : [[lockless]], choose);
  expect(() => outcomesOf(new Reduced(), changing)).toThrow(NotDeterministic);
});

test('preempt does not say what it touches, so that nobody passes it by', () => {
  expect(preempt.footprint).toBeUndefined();
});
