/** A call that fails while a revoke runs, and something is wrong: kept as a trace that fails until that is mended. */
import { expect, test } from 'vitest';
import { begin } from '../../properties/concurrent/program.ts';
import { drawTrace } from '../../properties/drawn.ts';
import { racedIn, regressionOfRaced } from '../../properties/raced-faults/kept.ts';
import { revokeOf } from '../../properties/raced-faults/revokes.ts';
import { MACHINE } from '../../properties/raced-faults/scenes.ts';
import { pointsIn, RacedBreach, sweepRaced } from '../../properties/raced-faults/sweep.ts';
import { replay } from '../../properties/recorded.ts';
import { parseTrace } from '../../trace/parse.ts';
import type { Threads, Trace } from '../../trace/trace.ts';
import { writeTrace } from '../../trace/write.ts';
import type { Moment } from './moment.ts';
import { MOMENTS, PREFIX } from './moments.ts';
import { during } from './patch.ts';

const TWICE = MOMENTS.find(({ bug }) => bug.startsWith('an unmap is asked for once more')) as Moment;
const ON = { config: MACHINE, kernel: '7.3' };

/** The first failure of the sweep. */
function kept(): Trace {
  const [call, command] = TWICE.calls;
  const { state } = begin({ ...ON, prefix: PREFIX, branches: [] });
  const it = { ...ON, before: PREFIX, state, call, revoke: revokeOf(command) };
  try {
    during(TWICE.patches, () => sweepRaced(it, pointsIn(it).slice(-1), (all) => all));
  } catch (error) {
    if (error instanceof RacedBreach) return regressionOfRaced(error).trace;
    throw error;
  }
  throw new Error('nothing fails');
}

test.each(['call', 'revoke'] as const)('the %s first: written, read and replayed', (first) => {
  const found = kept();
  expect(found.name).toMatch(/^no-double-unmap-[0-9a-f]{8}$/);
  const { branches, schedule } = found.threads as Threads;
  const threads = { branches: first === 'call' ? branches : branches.toReversed(), schedule };
  expect(racedIn(threads)?.place.first).toBe(first);
  const trace = { ...found, threads };
  const read = parseTrace(writeTrace(trace), 'a file');
  expect(during(TWICE.patches, () => replay(read))).toMatchObject({
    verdict: 'disagree',
    step: 'threads',
    details: ['no double unmap', expect.stringMatching(/^after a step of the (call|revoke): /)],
  });
  expect(replay(read)).toMatchObject({ verdict: 'agree', steps: PREFIX.length + 2 });
  // Drawn with the bug, it ends where that shows.
  const [drawn, cured] = [during(TWICE.patches, () => drawTrace(read)), drawTrace(read)];
  expect(drawn.slice(-3)).toEqual([
    '',
    'no double unmap',
    expect.stringMatching(/^after a step of the (call|revoke): /),
  ]);
  expect(drawn.filter((line) => line.endsWith('is cut short'))).toHaveLength(2);
  expect(cured.filter((line) => line.includes('! copy_to_user fails'))).toHaveLength(1);
  expect(cured.at(-1)).toMatch(/ends$/);
});

test('what it expects of the answers is compared', () => {
  const trace = kept();
  const { branches, schedule } = trace.threads as Threads;
  const expecting = branches.map((steps) => steps.map((step) => ({ ...step, result: { err: 'EBADF' } as const })));
  expect(replay({ ...trace, threads: { branches: expecting, schedule } })).toMatchObject({
    verdict: 'disagree',
    details: ['the call: expected {"err":"EBADF"}, got {"err":"EFAULT"}', expect.stringContaining('the revoke: ')],
  });
});

test('a preemption that does not come any more is told of', () => {
  const trace = kept();
  const { branches } = trace.threads as Threads;
  const remark = expect.stringContaining('the last preemption of 1 never came');
  const longer = { ...trace, threads: { branches, schedule: [{ after: 999, to: 1 }] } };
  expect(replay(longer)).toMatchObject({ verdict: 'agree', remark });
});
