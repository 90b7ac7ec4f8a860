/**
 * Every race of the tables: over all schedules it ends in all the ways that are allowed, and in no other. Of a case
 * that is `quick`, only schedules with few preemptions are made here, and all with SHOOTDOWN_RACES=all.
 *
 * Source: iommufd 4.5; vfio-dmabuf 7.3
 */
import { afterAll, expect, test } from 'vitest';
import { ALL_SCHEDULES, boundOf, judge } from '../../properties/races/judge.ts';
import { wordsOf } from '../../properties/races/look.ts';
import { page } from '../../properties/races/page.ts';
import { nameOf, type Step } from '../../properties/races/race.ts';
import type { Search } from '../../properties/races/search.ts';
import { ALL_TABLES } from '../../properties/races/tables/all.ts';

const ALL = ALL_TABLES.flatMap((table) => table.races.map((race) => ({ table, race, name: nameOf(table, race) })));

const rows: object[] = [];

test.each(ALL)('$name ends in all the ways that are allowed, and in no other', ({ table, race, name }) => {
  const found = judge(table, race);
  expect(found).toHaveLength(race.cases.length);
  const sum = (count: (search: Search<Step>) => number): number =>
    found.reduce((total, search) => total + count(search), 0);
  const bounds = new Set(
    race.cases.map(boundOf).map((bound) => (bound === undefined ? 'all' : `${bound} preemptions`)),
  );
  rows.push({
    race: name,
    cases: found.length,
    ends: sum(({ seen }) => seen.size),
    schedules: sum(({ explored }) => explored),
    pruned: sum(({ pruned }) => pruned),
    of: [...bounds].toSorted().reverse().join(', or '),
  });
});

test.each<[name: string, prefix: string, last: number]>([
  ['iommufd', 'R', 18],
  ['vfio', 'R', 25],
  ['device', 'D', 6],
  ['three', 'T', 17],
])('%s: every race is there, in order, and has a case', (name, prefix, last) => {
  const { races = [] } = ALL_TABLES.find((table) => table.name === name) ?? {};
  expect(races.map(({ id }) => id)).toEqual(Array.from({ length: last }, (_, i) => `${prefix}${i + 1}`));
  expect(races.filter(({ cases }) => cases.length === 0)).toEqual([]);
});

test('every case looks at the same of each end, and allows none twice, nor one that it says cannot be', () => {
  for (const { name, race } of ALL) {
    for (const { from, ends, unreached = [] } of race.cases) {
      const words = ends.map(wordsOf);
      expect(new Set(words).size, `${name}, ${from}`).toBe(words.length);
      expect(new Set(ends.map(({ extra }) => Object.keys(extra).join())).size, `${name}, ${from}`).toBe(1);
      expect(unreached.filter(({ answers }) => ends.some((end) => end.answers === answers))).toEqual([]);
    }
  }
});

test.skipIf(ALL_SCHEDULES)(
  'docs/races.md is the tables as they are, with the schedules that each case took',
  async () => {
    await expect(page(ALL_TABLES)).toMatchFileSnapshot('../../docs/races.md');
  },
);

afterAll(() => console.table(rows));
