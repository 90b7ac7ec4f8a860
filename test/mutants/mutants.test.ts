/**
 * Known bugs, put in again: in the race that each is named with, PCT with depth 2 finds it, in 200 schedules at most on
 * average, and as what it is; and the race is right without it.
 */
import { afterAll, expect, test } from 'vitest';
import { showSchedule } from '../../explore/schedule.ts';
import { MUTANTS } from './all.ts';
import { type Hunt, hunt, mean, median, SEEDS, withoutIt, wordsOf } from './hunt.ts';
import type { Mutant } from './mutant.ts';
import { actorsOf, page, textOf } from './page.ts';

const hunts = new Map<Mutant, Hunt>();
const titled = MUTANTS.map((mutant): [string, Mutant] => [`${mutant.id}, ${mutant.bug} (${mutant.cured})`, mutant]);

test.each(titled)('%s: found in its race, as what it is, and not without', async (_, mutant) => {
  const hunted = hunt(mutant);
  hunts.set(mutant, hunted);
  const { schedules, found, small } = hunted;
  expect([...found].toSorted()).toEqual(mutant.found.map(wordsOf).toSorted());
  expect(wordsOf(small)).toBe(wordsOf(mutant.found[0]!));
  expect(schedules.length).toBe(SEEDS);
  expect(mean(schedules)).toBeLessThanOrEqual(200);
  await expect(`${textOf(mutant, hunted).join('\n')}\n`).toMatchFileSnapshot(`../../docs/mutants/${mutant.id}.txt`);
  expect(withoutIt(mutant, schedules.at(-1)!)).toBeUndefined();
});

test('docs/mutants.md is the mutants as they were found', async () => {
  await expect(page(hunts)).toMatchFileSnapshot('../../docs/mutants.md');
});

afterAll(() => {
  console.table(
    [...hunts].map(([{ id }, { schedules, small }]) => ({
      mutant: id,
      'found as': small.kind,
      mean: Number(mean(schedules).toFixed(1)),
      median: median(schedules),
      most: schedules.at(-1),
      smallest: `${actorsOf(small)}: ${showSchedule(small.schedule)}`,
    })),
  );
});
