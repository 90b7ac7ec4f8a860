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

/** Each is hunted once, by whichever test comes first. */
function hunted(mutant: Mutant): Hunt {
  const known = hunts.get(mutant) ?? hunt(mutant);
  hunts.set(mutant, known);
  return known;
}

test.each(titled)('%s: found in its race, as what it is, and not without', async (_, mutant) => {
  const { schedules, found, small } = hunted(mutant);
  expect([...found].toSorted()).toEqual(mutant.found.map(wordsOf).toSorted());
  expect(wordsOf(small)).toBe(wordsOf(mutant.found[0]!));
  expect(schedules.length).toBe(SEEDS);
  expect(mean(schedules)).toBeLessThanOrEqual(200);
  await expect(`${textOf(mutant, hunted(mutant)).join('\n')}\n`).toMatchFileSnapshot(
    `../../docs/mutants/${mutant.id}.txt`,
  );
  expect(withoutIt(mutant, schedules.at(-1)!)).toBeUndefined();
});

test('docs/mutants.md is the mutants as they were found', async () => {
  const inOrder = new Map(MUTANTS.map((mutant) => [mutant, hunted(mutant)]));
  await expect(page(inOrder)).toMatchFileSnapshot('../../docs/mutants.md');
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
