/** The concurrent property, in the test run: a fixed seed, or the one that SHOOTDOWN_SEED says. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { keepRegression } from '../../cli/regressions.ts';
import { Pct } from '../../explore/pct.ts';
import { Mutex } from '../../impl/kernel/mutex.ts';
import { ConcurrentCoverage } from '../../properties/concurrent/coverage.ts';
import { regressionOfFailure, tell } from '../../properties/concurrent/failure.ts';
import { checkPrograms } from '../../properties/concurrent/property.ts';
import { replay } from '../../properties/recorded.ts';
import { parseTrace } from '../../trace/parse.ts';
import { writeTrace } from '../../trace/write.ts';
import { replace } from './plant.ts';
import { SEED } from './seed.ts';

const PROGRAMS = 500;
/** Programs that run in many schedules. */
const SEARCHED = 50;
const SCHEDULES = 10;
const MOST_ROUNDS = 6;

test('random programs of two and three threads break nothing, and some order explains each', () => {
  console.log(`seed ${SEED}`);
  const coverage = new ConcurrentCoverage();
  const drawn = checkPrograms({ seed: SEED, runs: PROGRAMS }, coverage);
  const strategy = () => new Pct({ seed: SEED, depth: 3 });
  const searched = checkPrograms({ seed: SEED + 1, runs: SEARCHED, strategy, schedules: SCHEDULES }, coverage);
  const counted = [coverage.programs, coverage.schedules];
  let failure = drawn.failure ?? searched.failure;
  // What is seldom may need more programs under another seed than the usual one.
  for (let more = 2; more <= MOST_ROUNDS && failure === undefined && coverage.unseen.length > 0; more++) {
    failure = checkPrograms({ seed: SEED + more, runs: PROGRAMS }, coverage).failure;
  }
  if (failure !== undefined) {
    throw new Error(tell(failure, keepRegression(regressionOfFailure(failure))).join('\n'));
  }
  console.log(coverage.table.join('\n'));
  expect(counted).toEqual([PROGRAMS + SEARCHED, PROGRAMS + SEARCHED * SCHEDULES]);
  // Every way in which calls must have met was met.
  expect(coverage.unseen).toEqual([]);
});

let takeOut = (): void => {};
afterEach(() => takeOut());

test('a lock that excludes nobody is found, made small, told, kept once, and replayed', () => {
  takeOut = replace(
    Mutex.prototype,
    'ready',
    (right) =>
      function (this: Mutex) {
        return this.name.endsWith('.resv') || right.call(this);
      },
  );
  const strategy = () => new Pct({ seed: 2, depth: 2 });
  const { failure } = checkPrograms({ seed: 2, runs: 150, strategy, schedules: 10 });
  if (failure === undefined) throw new Error('not found');
  const { breach, details, program, schedule } = failure;
  expect([breach, details]).toEqual(['lockdep', ['lockdep: d0.resv released by a stranger']]);
  expect([program.branches.map(({ length }) => length), schedule]).toEqual([[1, 1], [{ after: 2, to: 1 }]]);

  const folder = mkdtempSync(join(tmpdir(), 'kept-'));
  try {
    const regression = regressionOfFailure(failure);
    const file = keepRegression(regression, folder);
    keepRegression(regressionOfFailure(failure), folder);
    expect(readdirSync(folder)).toEqual([regression.file]);
    expect(regression.file).toMatch(/^lockdep-[0-9a-f]{8}[.]json$/);
    expect(tell(failure, file)).toContain('lockdep: d0.resv released by a stranger');
    const trace = parseTrace(writeTrace(regression.trace), file);
    expect(replay(trace)).toMatchObject({ verdict: 'disagree', step: 'threads' });
    takeOut();
    expect(replay(trace)).toMatchObject({ verdict: 'agree' });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
