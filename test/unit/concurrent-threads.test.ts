/** Traces with threads: replayed under their schedule, judged by what they expect and by all rules. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { replayFiles } from '../../cli/replay.ts';
import { drawTrace } from '../../properties/drawn.ts';
import { replay } from '../../properties/recorded.ts';
import type { Step } from '../../trace/trace.ts';
import { writeTrace } from '../../trace/write.ts';
import { map, off, traceOf } from './threads-rig.ts';

test.each<[what: string, answer: Step['result'], after: number]>([
  ['first', { ok: { iova: 0x1000000n } }, 30],
  ['between its own steps', { ok: { iova: 0x1000000n } }, 6],
  ['before it', { err: 'ENODEV' }, 1],
])('replay of a map and a revoke agrees when the answers are those of the schedule: the map %s', (_, result, after) => {
  const trace = traceOf(
    [[{ command: map, ...(result && { result }) }], [{ command: off, result: { ok: {} } }]],
    [{ after, to: 1 }],
  );
  expect(replay(trace)).toMatchObject({ verdict: 'agree', steps: 8 });
});

test('replay follows a schedule that is longer than the run as far as that goes, and says so', () => {
  const longer = [
    { after: 1, to: 1 },
    { after: 999, to: 1 },
  ];
  const trace = traceOf([[{ command: map }], [{ command: off }]], longer);
  const remark = expect.stringMatching(/^the last preemption of 2 never came: the run was over after [0-9]+ steps$/);
  expect(replay(trace)).toEqual({ verdict: 'agree', steps: 8, remark });
  expect(drawTrace(trace).slice(-2)).toEqual(['', remark]);
  const wrong = traceOf([[{ command: map, result: { ok: {} } }], [{ command: off }]], longer);
  expect(replay(wrong)).toMatchObject({ verdict: 'disagree', step: 'threads' });
});

test('shootdown replay passes such a trace, with a line of its own', () => {
  const folder = mkdtempSync(join(tmpdir(), 'longer-'));
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  try {
    const file = join(folder, 'longer.json');
    writeFileSync(file, writeTrace(traceOf([[{ command: map }], [{ command: off }]], [{ after: 999, to: 1 }])));
    expect(replayFiles([file])).toBe(0);
    const said = expect.stringContaining(`${file}: t: the last preemption of 1 never came: the run was over after `);
    expect(log.mock.calls).toEqual([[said], ['1 passed, 0 failed']]);
  } finally {
    log.mockRestore();
    rmSync(folder, { recursive: true });
  }
});

test('replay of threads says which branch answers otherwise than the trace expects, and what it expects', () => {
  const wrong: Step = { command: map, result: { err: 'ENODEV' } };
  const blocked: Step = { command: off, blocked: 'waits for a fence' };
  expect(replay(traceOf([[wrong], [blocked]], []))).toEqual({
    verdict: 'disagree',
    step: 'threads',
    details: [
      'branch 1, step 1: expected ENODEV, got ok at 0x1000000',
      'branch 2, step 1: expected to be blocked, got ok',
    ],
  });
});

test('replay skips threads of several calls with a fault, because nobody says which of them meets it', () => {
  const fault = { site: 'iopt_area_alloc', nth: 1 };
  const trace = traceOf([[{ command: map, fault }], [{ command: off }, { command: off }]], []);
  expect(replay(trace)).toEqual({ verdict: 'skipped', because: 'a fault in threads, where several calls may meet it' });
});
