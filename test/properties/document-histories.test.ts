/**
 * The races of the documents against the smaller steps of the model: in every order they end just as the tables allow,
 * and the implementation does nothing that they do not explain.
 */
import { describe, expect, test } from 'vitest';
import { Exhaustive } from '../../explore/exhaustive.ts';
import { Pct } from '../../explore/pct.ts';
import { explore, type Strategy } from '../../explore/strategy.ts';
import { historyOf } from '../../properties/concurrent/judge.ts';
import { linearize, showVerdict } from '../../properties/concurrent/linearize.ts';
import { run } from '../../properties/concurrent/run.ts';
import { RACE_TABLES } from '../../properties/races/tables/documents.ts';
import { World } from '../../properties/races/world.ts';
import { before, commandsOf, endsOf, shownOf } from './model-ends.ts';
import { SEED } from './seed.ts';

/** Every schedule of two preemptions is asked for. */
const ALL = process.env['SHOOTDOWN_RACES'] === 'all';
const SCHEDULES = 5;

const CASES = RACE_TABLES.flatMap((table) =>
  table.races.flatMap((race) =>
    race.cases.map((one) => ({ one, id: `${table.name} ${race.id}`, name: `${race.id}: ${one.from}` })),
  ),
).flatMap((each) => {
  const threads = commandsOf(each.one);
  return threads === undefined ? [] : [{ ...each, threads }];
});

/** The model says of an automatic IOVA only what is promised, and not that it is the lowest. */
const FREER: ReadonlyMap<string, readonly string[]> = new Map([
  [
    'R11: two areas, and the range is longer than both',
    ['0x2000 bytes, ok at 0x3000; none; dev1 0x3000 → m+0x3000 0x1000'],
  ],
]);

test('most races of the documents are made of commands alone', () => {
  expect(CASES.length).toBe(99);
});

describe('the smaller steps, in every order, end as the document allows, and in all those ways', () => {
  test.each(CASES)('$id, $one.from', ({ one, name, threads }) => {
    const allowed = [...one.ends.map(shownOf), ...(FREER.get(name) ?? [])];
    expect([...endsOf(one, threads)].sort()).toEqual([...new Set(allowed)].sort());
  });
});

test('whatever the implementation does in those races, some order of the smaller steps explains', () => {
  let histories = 0;
  const unexplained: string[] = [];
  for (const { one, id, threads } of CASES) {
    const strategy: Strategy = ALL ? new Exhaustive(2) : new Pct({ seed: SEED, depth: 2 });
    const state = before(one);
    explore(
      strategy,
      (choose) => {
        const { machine } = new World(one);
        const { calls, broken } = run(machine, threads, choose);
        expect(broken).toBeUndefined();
        const history = historyOf({ state, machine }, threads.length, calls);
        const verdict = linearize(history);
        histories++;
        if (!verdict.explained) unexplained.push([`${id}, ${one.from}`, ...showVerdict(history, verdict)].join('\n'));
      },
      ALL ? Number.POSITIVE_INFINITY : SCHEDULES,
    );
  }
  console.log(`${histories} histories`);
  expect(unexplained).toEqual([]);
});
