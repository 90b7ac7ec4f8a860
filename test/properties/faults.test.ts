/** The property of faults, in the test run: a fixed seed, or the one that SHOOTDOWN_SEED says. */
import { expect, test } from 'vitest';
import { keep } from '../../cli/regressions.ts';
import { checkFaults } from '../../properties/faults/property.ts';
import { reportOf } from '../../properties/regression.ts';
import { SEED } from './seed.ts';

const SWEEPS = 400;
const LONGEST = 40;

test('a call of which one fault point fails answers and leaves what its rule says, and then succeeds', () => {
  const { coverage, failure, runs } = checkFaults({ seed: SEED, runs: SWEEPS, longest: LONGEST });
  if (failure !== undefined) throw new Error(reportOf(failure, keep(failure)).join('\n'));
  console.log(`seed ${SEED}, ${coverage.faults} faults\n${coverage.table.join('\n')}`);
  expect(runs).toBe(SWEEPS);
  // Every site that a command of the format can meet has failed in some of them.
  expect(coverage.unmet).toEqual([]);
  // What tries to reset when it undoes a bind, and what tries a smaller leaf: there a second fault can come.
  expect([...coverage.twice]).toEqual(expect.arrayContaining(['peek', 'vfio_bind']));
});
