/** The accounting property: random limits, users and capabilities, over sequences of maps, copies and attaches. */
import { expect, test } from 'vitest';
import { checkMapping } from '../../properties/mapping/walk.ts';
import { SEED } from './seed.ts';

test('what is pinned is charged once, to who made it; a limit is met only where the next page is above it', () => {
  let met = 0;
  let kept = 0;
  checkMapping({
    seed: SEED,
    runs: 300,
    longest: 60,
    over: (accounting) => {
      met += accounting.met;
      kept += accounting.kept;
    },
  });
  console.log(`seed ${SEED}: a limit was met ${met} times, and kept ${kept} times`);
  expect(met).toBeGreaterThan(100);
  expect(kept).toBeGreaterThan(100);
});
