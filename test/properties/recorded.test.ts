/** The kernel's own answers: every recorded trace gives the same ones here. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { replay } from '../../properties/recorded.ts';
import { readTraces } from '../../trace/parse.ts';
import type { Trace } from '../../trace/trace.ts';
import { RECORDINGS } from './recordings.ts';

const TRACES = fileURLToPath(new URL('../traces/', import.meta.url));

function failures(path: string): { all: number; failed: readonly string[] } {
  const failed: string[] = [];
  let all = 0;
  for (const { where, trace } of readTraces(`${TRACES}${path}`)) {
    all++;
    const verdict = replay(trace);
    if (verdict.verdict === 'skipped') failed.push(`${where}: ${trace.name}: skipped because of ${verdict.because}`);
    if (verdict.verdict === 'disagree') {
      failed.push(`${where}: ${trace.name}: step ${verdict.step}: ${verdict.details.join('; ')}`);
    }
  }
  return { all, failed };
}

/** None is skipped. */
test.each([...RECORDINGS, { path: 'selftests', all: 39 }])(
  'replay of $path gives the answers, reach and calls that the kernel gave',
  ({ path, all }) => {
    expect(failures(path)).toEqual({ all, failed: [] });
  },
);

/** A trace that is known to agree, to be spoilt. */
function someTrace(): Trace {
  for (const { trace } of readTraces(`${TRACES}linux-7.2.13/scenarios/revoke-with-two-domains.json`)) return trace;
  throw new Error('the scenario is gone');
}

test.each([
  {
    what: 'a wrong errno',
    spoil: (trace: Trace): Trace => ({
      ...trace,
      steps: trace.steps.map((step) =>
        step.result && 'ok' in step.result ? { ...step, result: { err: 'EIO' } } : step,
      ),
    }),
    message: /expected \{"err":"EIO"\}; got \{"ok"/,
  },
  {
    what: 'a missing call',
    spoil: (trace: Trace): Trace => ({ ...trace, steps: trace.steps.map(({ iommu: _, ...step }) => step) }),
    message: /IOVA 0x[0-9a-f]+: expected no call, got map to/,
  },
  {
    what: 'a wrong target',
    spoil: (trace: Trace): Trace => ({
      ...trace,
      steps: trace.steps.map((step) => ({
        ...step,
        ...(step.reach && {
          reach: new Map(
            [...step.reach].map(
              ([dev, rows]) => [dev, rows.map(([i, t, l, p]) => [i, `${t}0`, l, p] as const)] as const,
            ),
          ),
        }),
      })),
    }),
    message: /should reach/,
  },
])('replay of a trace with $what says what was expected and what it got', ({ spoil, message }) => {
  const verdict = replay(spoil(someTrace()));
  expect(verdict.verdict).toBe('disagree');
  expect(verdict.verdict === 'disagree' && verdict.details.join('; ')).toMatch(message);
});
