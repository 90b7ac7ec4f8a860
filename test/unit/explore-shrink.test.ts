/** What fails is made small, and drawn. */
import { expect, test } from 'vitest';
import { Sketch } from '../../explore/drawing.ts';
import { drawingSvg } from '../../explore/drawing-svg.ts';
import { type Choose, following, interleave } from '../../explore/interleave.ts';
import { RandomWalk } from '../../explore/random-walk.ts';
import { Recorder } from '../../explore/schedule.ts';
import { type Case, shrink } from '../../explore/shrink.ts';
import { Kernel, preempt, Task, type Thread } from '../../impl/kernel/thread.ts';
import { type Op, type Program, runProgram } from './lock-programs.ts';

type Count = 'count' | 'look';

/** Counts without a lock, which is wrong: between its look and its write, another count is lost. */
function* counting(shared: { count: number }, commands: readonly Count[]): Thread {
  for (const command of commands) {
    yield preempt;
    const before = shared.count;
    if (command === 'look') continue;
    yield preempt;
    shared.count = before + 1;
  }
}

const LIMITS = { preemptions: 4, schedules: 5000 };

/** Whether a count is lost. */
function loses(threads: readonly (readonly Count[])[], choose: Choose): boolean {
  const [kernel, shared] = [new Kernel(), { count: 0 }];
  const branches = threads.map((commands, i) => {
    return { task: new Task(`t${i}`, kernel), thread: counting(shared, commands) };
  });
  interleave(branches, choose);
  return shared.count < threads.flat().filter((command) => command === 'count').length;
}

/** A failure as a random walk comes by it, with more threads, commands and switches than matter. */
function found<C>(threads: readonly (readonly C[])[], fails: (choose: Choose) => boolean): Case<C> {
  const walk = new RandomWalk(5);
  for (;;) {
    const recorder = new Recorder(walk.choose);
    if (fails(recorder.choose) && recorder.schedule.length > 4) return { threads, schedule: recorder.schedule };
  }
}

test('the lost update shrinks to two threads that count once each, and one preemption', () => {
  const threads: Count[][] = [
    ['look', 'count', 'look'],
    ['count', 'count'],
    ['look', 'count'],
  ];
  const failing = found(threads, (choose) => loses(threads, choose));
  const small = shrink(failing, loses, LIMITS);
  expect(small).toEqual({ threads: [['count'], ['count']], schedule: [{ after: 2, to: 1 }] });
  expect(loses(small.threads, following(small.schedule))).toBe(true);
});

test('a circle of two locks shrinks to two threads that nest, and one preemption', () => {
  const change: Op = { do: 'change', lock: 2 };
  const program: Program = [
    [change, { do: 'nest', outer: 0, inner: 1 }],
    [change, change],
    [{ do: 'nest', outer: 1, inner: 0 }, change],
  ];
  const fails = (threads: Program, choose: Choose): boolean => runProgram(threads, choose).includes('waits for');
  const failing = found(program, (choose) => fails(program, choose));
  expect(shrink(failing, fails, LIMITS)).toEqual({
    threads: [[{ do: 'nest', outer: 0, inner: 1 }], [{ do: 'nest', outer: 1, inner: 0 }]],
    schedule: [{ after: 2, to: 1 }],
  });
});

test('what fails only with more preemptions than the limit keeps its schedule', () => {
  const threads: Count[][] = [['count'], ['count']];
  const failing = found(threads, (choose) => loses(threads, choose) || true);
  const none = { preemptions: 0, schedules: 10 };
  expect(shrink(failing, loses, none)).toEqual(failing);
});

test('a run is drawn with a column for each thread, and a bar for each lock while it is held', () => {
  const program: Program = [
    [{ do: 'nest', outer: 0, inner: 1 }, { do: 'lockless' }],
    [
      { do: 'read', sem: 0 },
      { do: 'nest', outer: 1, inner: 0 },
    ],
  ];
  const sketch = new Sketch(following([{ after: 2, to: 1 }]));
  runProgram(program, sketch.choose);
  expect(sketch.lines().join('\n')).toMatchInlineSnapshot(`
    "      t0               t1
       1  begins
       2  ┌ staccess.lock
      >3  │                begins
       4  │                ┌ domains_rwsem(R)
          │                └ domains_rwsem(R)
       5  │                ┌ dev_set.lock
          t0 waits for dev_set.lock
          t1 waits for staccess.lock"
  `);
});

test('the picture of a run has each word of the drawing once, and a box for each bar', () => {
  const lines = [
    '      a & b         c',
    '   1  │┌ pages->mutex  ││  2  ends',
    '      │└ pages->mutex  ││',
    'c waits for <it>',
  ];
  const svg = drawingSvg(lines);
  const texts = [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text);
  expect(texts).toEqual([
    'a &amp; b',
    'c',
    '1',
    'pages-&gt;mutex',
    '2',
    'ends',
    'pages-&gt;mutex',
    'c waits for &lt;it&gt;',
  ]);
  const boxes = [...svg.matchAll(/<rect x="([0-9.]+)" y="([0-9.]+)" width="6" height="([0-9.]+)"/g)];
  expect(boxes.map(([, , y, tall]) => [Number(y), Number(tall)])).toEqual([
    [32, 18],
    [41, 9],
    [32, 18],
    [32, 18],
    [50, 18],
    [50, 9],
    [50, 18],
    [50, 18],
  ]);
  // Bars of one column stand side by side, and one that goes on is in the same place.
  const places = boxes.map(([, x]) => x);
  expect(places.slice(0, 4)).toEqual(places.slice(4));
  expect(new Set(places).size).toBe(4);
});
