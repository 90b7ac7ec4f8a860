/**
 * What is wrong for a step or two of several threads is seen then, whoever runs them, and told by the name of the
 * invariant that it breaks.
 */
import { expect, test } from 'vitest';
import { Exhaustive } from '../../explore/exhaustive.ts';
import { explore } from '../../explore/strategy.ts';
import { judge } from '../../properties/concurrent/judge.ts';
import { begin, type Program } from '../../properties/concurrent/program.ts';
import type { Breach } from '../../properties/concurrent/run.ts';
import { MACHINE } from '../../properties/raced-faults/scenes.ts';
import { pointsIn, RacedBreach, sweepRaced } from '../../properties/raced-faults/sweep.ts';
import type { Moment } from './moment.ts';
import { MOMENTS, PREFIX } from './moments.ts';
import { during } from './patch.ts';

const ON = { config: MACHINE, kernel: '7.3' };

test.each(MOMENTS)('$bug: seen in a program of two threads', ({ breaks, calls, patches }) => {
  const found = during(patches, () => brokenBy(calls));
  expect(found).toMatchObject({
    breach: breaks.name,
    details: [expect.stringMatching(/^after a step of branch [12]: /)],
  });
  expect(brokenBy(calls)).toBeUndefined();
});

/** In the first schedule, of those with one preemption, in which anything is. */
function brokenBy(calls: Moment['calls']): Breach | undefined {
  const program: Program = { ...ON, prefix: PREFIX, branches: calls.map((call) => [call]) };
  let found: Breach | undefined;
  explore(new Exhaustive(1), (choose) => {
    const { broken } = judge(begin(program), program.branches, choose);
    found ??= broken;
  });
  return found;
}

test.each(MOMENTS)('$bug: seen where a call fails while a revoke runs', ({ breaks, calls, patches }) => {
  const [call, command] = calls;
  const { state } = begin({ ...ON, prefix: PREFIX, branches: [] });
  const it = { ...ON, before: PREFIX, state, call, revoke: { command, takes: [] } };
  const last = pointsIn(it).slice(-1);
  const sweep = (): void => sweepRaced(it, last, (places) => places);
  expect(() => during(patches, sweep)).toThrow(RacedBreach);
  expect(() => during(patches, sweep)).toThrow(
    new RegExp(`^${breaks.name}: step .*\n  after a step of the (call|revoke): `, 'm'),
  );
  expect(sweep).not.toThrow();
});
