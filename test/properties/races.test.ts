/** Every race of the registry: what is seen over all interleavings of all its starts is exactly what is allowed. */
import { expect, test } from 'vitest';
import { exhaust } from '../../explore/exhaustive.ts';
import { perform } from '../../properties/race-search/perform.ts';
import { wordsOf } from '../../properties/race-search/race.ts';
import { RACES } from '../../properties/race-search/registry.ts';

test.each(RACES.map((race) => [race.name, race.source, race] as const))('%s (%s)', (name, _, race) => {
  const seen = new Set<string>();
  let schedules = 0;
  for (const start of race.starts) {
    schedules += exhaust((choose) => {
      seen.add(wordsOf(perform(race, start, choose)));
    });
  }
  expect([...seen].toSorted()).toEqual(race.allowed.map(wordsOf).toSorted());
  console.log(`${name}: ${schedules} schedules, ${seen.size} outcomes`);
});
