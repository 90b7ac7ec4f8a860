/** The sequential property, in the test run: a fixed seed, or the one that SHOOTDOWN_SEED says. */
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { keep, REGRESSIONS } from '../../cli/regressions.ts';
import { Coverage } from '../../properties/coverage.ts';
import { replay } from '../../properties/recorded.ts';
import { reportOf } from '../../properties/regression.ts';
import { checkSequences } from '../../properties/sequential.ts';
import { readTraces } from '../../trace/parse.ts';
import { SEED } from './seed.ts';

const RUNS = 2000;
const LONGEST = 200;

test('every failure that was kept stays cured', () => {
  const files = readdirSync(REGRESSIONS).filter((name) => name.endsWith('.json'));
  expect(files.length).toBeGreaterThan(0);
  const verdicts = files.flatMap((file) =>
    [...readTraces(`${REGRESSIONS}${file}`)].map(({ trace }) => ({ file, ...replay(trace) })),
  );
  expect(verdicts.filter(({ verdict }) => verdict !== 'agree')).toEqual([]);
});

test('random sequences keep both worlds in agreement after every step, and leave nothing behind', () => {
  console.log(`seed ${SEED}`);
  const coverage = new Coverage();
  const { failure, runs } = checkSequences({ seed: SEED, runs: RUNS, longest: LONGEST }, coverage);
  if (failure !== undefined) {
    throw new Error(reportOf(failure, keep(failure)).join('\n'));
  }
  console.log(coverage.table.join('\n'));
  expect(runs).toBe(RUNS);
  // Every answer that the documents allow occurs, no other does, and every invariant was put to the test.
  expect(coverage.complaints).toEqual([]);
});
