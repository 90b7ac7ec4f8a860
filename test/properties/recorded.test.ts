/** The kernel's own answers: every recorded trace gives the same ones here, or says which step is not there yet. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { replay } from '../../properties/recorded.ts';
import { UNDRAWN } from '../../properties/undrawn.ts';
import { readTraces } from '../../trace/parse.ts';
import type { Trace } from '../../trace/trace.ts';

const TRACES = fileURLToPath(new URL('../traces/', import.meta.url));

interface Tally {
  agree: number;
  skipped: number;
  readonly failures: string[];
  readonly because: Set<string>;
}

function replayAll(path: string): Tally {
  const tally: Tally = { agree: 0, skipped: 0, failures: [], because: new Set() };
  for (const { where, trace } of readTraces(`${TRACES}${path}`)) {
    const verdict = replay(trace);
    if (verdict.verdict === 'agree') tally.agree++;
    else if (verdict.verdict === 'skipped') {
      tally.skipped++;
      tally.because.add(verdict.because);
    } else tally.failures.push(`${where}: ${trace.name}: step ${verdict.step}: ${verdict.details.join('; ')}`);
  }
  return tally;
}

/** By folder: how many there are, and how many have none but supported steps. */
test.each([
  { path: 'linux-7.2.13/core.jsonl', all: 420, replayed: 420 },
  { path: 'linux-7.2.13/breadth.jsonl', all: 420, replayed: 140 },
  { path: 'linux-7.2.13/bad-input.jsonl', all: 420, replayed: 169 },
  { path: 'linux-7.2.13/lifecycle.jsonl', all: 418, replayed: 189 },
  { path: 'linux-7.2.13/mock.jsonl', all: 420, replayed: 0 },
  { path: 'linux-7.2.13/scenarios', all: 110, replayed: 60 },
  { path: 'linux-7.3.4', all: 178, replayed: 112 },
])('replay of $path gives the answers, reach and calls that the kernel gave', ({ path, all, replayed }) => {
  const { agree, skipped, failures, because } = replayAll(path);
  expect(failures).toEqual([]);
  expect({ agree, all: agree + skipped }).toEqual({ agree: replayed, all });
  expect([...because].filter((step) => !UNDRAWN.some((undrawn) => undrawn === step))).toEqual([]);
});

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
