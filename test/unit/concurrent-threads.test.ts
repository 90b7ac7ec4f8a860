/** Traces with threads: replayed under their schedule, judged by what they expect and by all rules, and drawn. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { replayFiles } from '../../cli/replay.ts';
import { drawTrace } from '../../properties/concurrent/drawing.ts';
import { MACHINES } from '../../properties/machines.ts';
import { replay } from '../../properties/recorded.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import type { Preemption, Step, Trace } from '../../trace/trace.ts';
import { writeTrace } from '../../trace/write.ts';

const PREFIX: readonly Step[] = [
  { command: { do: 'iommufd_open', as: 'ctx' } },
  { command: { do: 'ioas_alloc', ctx: 'ctx', as: 'a' } },
  { command: { do: 'vfio_open', dev: 'dev0' } },
  { command: { do: 'vfio_bind', dev: 'dev0', ctx: 'ctx' } },
  { command: { do: 'vfio_export', dev: 'dev0', region: 2, ranges: [[0n, 0x400000n]], as: 'b' } },
  { command: { do: 'vfio_attach', dev: 'dev0', pt: 'a' } },
];
const map: Step['command'] = {
  do: 'ioas_map_file',
  ioas: 'a',
  fd: 'b',
  start: 0n,
  length: 0x1000n,
  prot: 'rw',
  iova: 0x1000000n,
};
const off: Step['command'] = { do: 'vfio_memory', dev: 'dev0', enable: false };

const traceOf = (branches: readonly (readonly Step[])[], schedule: readonly Preemption[]): Trace => ({
  version: 2,
  name: 't',
  kernel: '7.3',
  machine: MACHINES.get('two devices') as MachineConfig,
  steps: PREFIX,
  threads: { branches, schedule },
});

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
  expect(replay(trace)).toEqual({ verdict: 'skipped', because: 'a fault in threads' });
});

test('threads are drawn under their schedule, with what each call answers and when it runs', () => {
  const lines = drawTrace(traceOf([[{ command: map }], [{ command: off }]], [{ after: 1, to: 1 }]));
  expect(lines.slice(0, 5)).toEqual([
    'branch 1',
    '  map b+0x0 length 0x1000 at 0x1000000 in a  ENODEV, steps 1 to 7',
    'branch 2',
    '  turn memory of dev0 off                    ok, steps 2 to 6',
    '',
  ]);
  expect(lines.slice(5, 9)).toEqual([
    '      branch 1  branch 2',
    '   1  begins',
    '  >2            begins',
    '   3            ┌ dev0.memory_lock(W)',
  ]);
});

test('what cannot be drawn says why', () => {
  const trace = traceOf([[{ command: map }], [{ command: off }]], []);
  expect(drawTrace({ ...trace, kernel: '5.15' })).toEqual(['not drawn: there is no kernel 5.15']);
  const fault = { site: 'iopt_alloc_area', nth: 1 };
  expect(drawTrace(traceOf([[{ command: map, fault }], [{ command: off }]], []))).toEqual(['not drawn: it has faults']);
  const { threads: _, ...sequential } = trace;
  expect(drawTrace(sequential)).toEqual([]);
});
