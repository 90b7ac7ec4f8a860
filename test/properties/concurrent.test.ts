/** The concurrent property, in the test run: a fixed seed, or the one that SHOOTDOWN_SEED says. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { keepRegression } from '../../cli/regressions.ts';
import { Pct } from '../../explore/pct.ts';
import { Mutex } from '../../impl/kernel/mutex.ts';
import { running } from '../../impl/kernel/thread.ts';
import { Machine } from '../../impl/machine.ts';
import { ConcurrentCoverage } from '../../properties/concurrent/coverage.ts';
import { regressionOfFailure, tell } from '../../properties/concurrent/failure.ts';
import { checkPrograms, schedulesOf } from '../../properties/concurrent/property.ts';
import type { Ran } from '../../properties/concurrent/run.ts';
import { replay } from '../../properties/recorded.ts';
import { parseTrace } from '../../trace/parse.ts';
import { writeTrace } from '../../trace/write.ts';
import { replace } from './plant.ts';
import { SEED } from './seed.ts';

const PROGRAMS = 120;
const MOST_ROUNDS = 6;

test('random programs of two and three threads break nothing, and some order explains each', () => {
  console.log(`seed ${SEED}`);
  const coverage = new ConcurrentCoverage();
  let { failure } = checkPrograms({ seed: SEED, runs: PROGRAMS }, coverage);
  const counted = coverage.programs;
  // What is seldom may need more programs under another seed than the usual one.
  for (let more = 1; more <= MOST_ROUNDS && failure === undefined && coverage.unseen.length > 0; more++) {
    failure = checkPrograms({ seed: SEED + more, runs: PROGRAMS }, coverage).failure;
  }
  if (failure !== undefined) {
    throw new Error(tell(failure, keepRegression(regressionOfFailure(failure))).join('\n'));
  }
  console.log(coverage.table.join('\n'));
  expect(counted).toBe(PROGRAMS);
  // Every way in which calls must have met was met.
  expect(coverage.unseen).toEqual([]);
});

/** The steps of each run. */
class Steps extends ConcurrentCoverage {
  readonly runs: number[] = [];

  override see(ran: Ran): void {
    super.see(ran);
    this.runs.push(ran.steps);
  }
}

test('a program is run in as many schedules as its first run has steps, within bounds, or as one says', () => {
  const counts = Array.from({ length: 12 }, (_, i) => {
    const [usual, few] = [new Steps(), new Steps()];
    checkPrograms({ seed: SEED + i, runs: 1 }, usual);
    checkPrograms({ seed: SEED + i, runs: 1, schedules: 2 }, few);
    expect(few.runs).toEqual(usual.runs.slice(0, 2));
    expect(usual.runs).toHaveLength(schedulesOf(usual.runs[0] as number));
    return usual.runs.length;
  });
  expect(new Set(counts).size).toBeGreaterThan(1);
  expect([0, 3, 4, 20, 21].map(schedulesOf)).toEqual([3, 3, 4, 20, 20]);
});

let takeOut = (): void => {};
afterEach(() => takeOut());

test('what no order explains is found: every run that is not the same again is judged', () => {
  takeOut = replace(
    Machine.prototype,
    'targetOf',
    (right) =>
      function (this: Machine, phys) {
        return running()?.name.startsWith('branch') ? 'elsewhere' : right.call(this, phys);
      },
  );
  const { failure } = checkPrograms({ seed: SEED, runs: PROGRAMS });
  expect(failure?.breach).toBe('no order fits');
  expect(failure?.program.branches.flat().map((command) => command.do)).toContain('peek');
});

test('a lock that excludes nobody is found, made small, told, kept once, and replayed', () => {
  takeOut = replace(
    Mutex.prototype,
    'ready',
    (right) =>
      function (this: Mutex) {
        return this.name.endsWith('.resv') || right.call(this);
      },
  );
  const strategy = () => new Pct({ seed: 12, depth: 2 });
  const { failure } = checkPrograms({ seed: 12, runs: 150, strategy, schedules: 10 });
  if (failure === undefined) throw new Error('not found');
  const { breach, details, program, schedule } = failure;
  const shot = 'after a step of branch 2: domain a0, IOVA 0x1001000: d0+0x0 is mapped, but a revoke has shot its area';
  expect([breach, details]).toEqual(['never mapped while revoked', [shot]]);
  expect([program.branches.map(({ length }) => length), schedule]).toEqual([[1, 1], [{ after: 2, to: 1 }]]);

  const folder = mkdtempSync(join(tmpdir(), 'kept-'));
  try {
    const regression = regressionOfFailure(failure);
    const file = keepRegression(regression, folder);
    keepRegression(regressionOfFailure(failure), folder);
    expect(readdirSync(folder)).toEqual([regression.file]);
    expect(regression.file).toMatch(/^never-mapped-while-revoked-[0-9a-f]{8}[.]json$/);
    expect(tell(failure, file)).toContain(shot);
    const trace = parseTrace(writeTrace(regression.trace), file);
    expect(replay(trace)).toMatchObject({ verdict: 'disagree', step: 'threads' });
    takeOut();
    expect(replay(trace)).toMatchObject({ verdict: 'agree' });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
