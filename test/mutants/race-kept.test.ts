/** Failures of races: kept as traces that fail until the bug is mended, or told with why they are not. */
import { expect, test } from 'vitest';
import { regressionOfRace } from '../../properties/races/kept.ts';
import { replay } from '../../properties/recorded.ts';
import type { Regression } from '../../properties/regression.ts';
import { parseTrace } from '../../trace/parse.ts';
import { writeTrace } from '../../trace/write.ts';
import { MUTANTS } from './all.ts';
import { hunt } from './hunt.ts';
import type { Mutant } from './mutant.ts';
import { during } from './patch.ts';

const mutant = (id: string): Mutant => MUTANTS.find((each) => each.id === id) as Mutant;

/** While the bug is there. */
const kept = (it: Mutant): Regression | string => {
  const { small, failure } = hunt(it);
  return during(it.patches, () => regressionOfRace(small, failure));
};

// M12 shows only beside another thread, and is shrunk to one.
test.each(['H-09', 'M12', 'M44', 'S-01', 'S-10', 'S-11'])('%s, as a trace', (id) => {
  const it = mutant(id);
  const regression = kept(it);
  if (typeof regression === 'string') throw new Error(regression);
  const trace = parseTrace(writeTrace(regression.trace), regression.file);
  expect(during(it.patches, () => replay(trace))).toMatchObject({ verdict: 'disagree' });
  expect(replay(trace)).toMatchObject({ verdict: 'agree' });
});

test.each([
  ['M02', 'a step of it is no command'],
  ['M26', 'whichever thread comes to it meets the fault'],
])('%s has no trace: %s', (id, why) => {
  expect(kept(mutant(id))).toBe(why);
});
