/** What is said of a recording that is spoilt: a replay that finds nothing shows nothing. */
import { expect, test } from 'vitest';
import { replay } from '../../properties/recorded.ts';
import type { Step, Trace } from '../../trace/trace.ts';
import { modelDifference } from './recorded-model.ts';
import { scenario } from './recordings.ts';

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
  const verdict = replay(spoil(scenario('revoke-with-two-domains')));
  expect(verdict.verdict).toBe('disagree');
  expect(verdict.verdict === 'disagree' && verdict.details.join('; ')).toMatch(message);
});

test('the model alone tells a wrong answer and a wrong reach', () => {
  const trace = scenario('cpu-mapping-keeps-device-open');
  const spoil = (number: number, more: Partial<Step>): Trace => ({
    ...trace,
    steps: trace.steps.map((it: Step, at: number) => (at === number - 1 ? { ...it, ...more } : it)),
  });
  expect(modelDifference(trace)).toBeUndefined();
  expect(modelDifference(spoil(17, { result: { err: 'EIO' } }))).toMatch(/^step 17, peek: .*dev0:2\+0x4.*EIO/);
  expect(modelDifference(spoil(12, { reach: new Map([['dev2', []]]) }))).toMatch(
    /^step 12, vfio_close: dev2 should reach \[\], got/,
  );
});
