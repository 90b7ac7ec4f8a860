/**
 * Faults that are raced, in the test run: each site of each command against each kind of revoke, at one place each;
 * `SHOOTDOWN_RACES=all` takes every passage and every place. Then some random states.
 */
import { expect, test } from 'vitest';
import { keepRegression } from '../../cli/regressions.ts';
import { MIX } from '../../properties/intents.ts';
import { RacedCoverage, SITES, WITHOUT } from '../../properties/raced-faults/coverage.ts';
import { checkRaced, checkScenes } from '../../properties/raced-faults/property.ts';
import { ALL_SCHEDULES } from '../../properties/races/judge.ts';
import type { Command } from '../../trace/command.ts';
import { SEED } from './seed.ts';

const STATES = 12;
const LONGEST = 30;

test('a call that fails while a revoke runs is as if it had never been, for each command, site and revoke', () => {
  const coverage = new RacedCoverage();
  checkScenes(coverage, ALL_SCHEDULES);
  console.log(`${coverage.races} races\n${coverage.table.join('\n')}`);
  expect(coverage.wrong).toEqual([]);
});

test('the same after random sequences', () => {
  const coverage = new RacedCoverage();
  const failure = checkRaced({ seed: SEED, runs: STATES, longest: LONGEST }, coverage);
  if (failure !== undefined) {
    const { message, regression } = failure;
    throw new Error([`seed ${SEED}`, message, regression && keepRegression(regression)].join('\n'));
  }
  expect(coverage.races).toBeGreaterThan(STATES);
});

test('each command has its sites, or a reason why it has none', () => {
  const commands: readonly Command['do'][] = MIX.map(([what]) => what);
  const told = [...Object.keys(SITES), ...Object.keys(WITHOUT)];
  expect(commands.filter((command) => !told.includes(command))).toEqual([]);
  expect(Object.keys(SITES).filter((command) => command in WITHOUT)).toEqual([]);
});
