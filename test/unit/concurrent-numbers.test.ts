/** Numbers that are given out again under a call: the run is set aside, and says so. */
import { expect, test } from 'vitest';
import { following, type Schedule } from '../../explore/interleave.ts';
import { ConcurrentCoverage } from '../../properties/concurrent/coverage.ts';
import { judge } from '../../properties/concurrent/judge.ts';
import { begin, type Program } from '../../properties/concurrent/program.ts';
import type { Ran } from '../../properties/concurrent/run.ts';
import { drawTrace } from '../../properties/drawn.ts';
import { MACHINES } from '../../properties/machines.ts';
import { replay } from '../../properties/recorded.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import type { Trace } from '../../trace/trace.ts';

const config = MACHINES.get('two devices') as MachineConfig;
const START: Program['prefix'] = [
  { do: 'iommufd_open', as: 'ctx' },
  { do: 'ioas_alloc', ctx: 'ctx', as: 'a' },
];
const BOUND: Program['prefix'] = [
  ...START,
  { do: 'vfio_open', dev: 'dev0' },
  { do: 'vfio_bind', dev: 'dev0', ctx: 'ctx' },
];
/** The test device gets the number of the IOAS, and its own attach then finds it there. */
const MOCK: Program['branches'] = [
  [{ do: 'mock_domain', ioas: 'a', as: 'x', dev: 'md' }],
  [{ do: 'destroy', obj: 'a' }],
];
const ATTACH: Program['branches'] = [
  [{ do: 'vfio_attach', dev: 'dev0', pt: 'a' }],
  [
    { do: 'destroy', obj: 'a' },
    { do: 'ioas_alloc', ctx: 'ctx', as: 'b' },
  ],
];

const ran = (prefix: Program['prefix'], branches: Program['branches'], schedule: Schedule): Ran =>
  judge(begin({ config, kernel: '7.3', prefix, branches }), branches, following(schedule));

test.each<[what: string, run: () => Ran, reason: string]>([
  [
    'a new device',
    () => ran(START, MOCK, [{ after: 1, to: 1 }]),
    'the number of a, 1, was given out again during: attach new mock device md to a as x',
  ],
  [
    'a new IOAS',
    () => ran(BOUND, ATTACH, [{ after: 1, to: 1 }]),
    'the number of a, 1, was given out again during: attach dev0 to a',
  ],
])('a run in which %s gets the number that a call has passed is set aside, and counted', (_, run, reason) => {
  const aside = run();
  expect([aside.setAside, aside.broken]).toEqual([reason, undefined]);
  const coverage = new ConcurrentCoverage();
  coverage.see(aside);
  expect(coverage.table.slice(-2).map((line) => line.trim())).toEqual([
    '1  runs set aside: a number was given out again under a call that had passed it',
    `such as: ${reason}`,
  ]);
});

test.each<[what: string, branches: Program['branches'], schedule: Schedule]>([
  ['the call comes first', ATTACH, []],
  ['the call comes last', ATTACH, [{ after: 0, to: 1 }]],
  [
    'nobody gets it',
    [[{ do: 'vfio_attach', dev: 'dev0', pt: 'a' }], [{ do: 'destroy', obj: 'a' }]],
    [{ after: 1, to: 1 }],
  ],
])('a number that is free is no reason to set a run aside: %s', (_, branches, schedule) => {
  const { setAside, broken } = ran(BOUND, branches, schedule);
  expect([setAside, broken]).toEqual([undefined, undefined]);
});

test('a trace that is set aside does not agree, and its drawing says why', () => {
  const stepsOf = (commands: Program['prefix']): Trace['steps'] => commands.map((command) => ({ command }));
  const threads = { branches: MOCK.map(stepsOf), schedule: [{ after: 1, to: 1 }] };
  const trace: Trace = { version: 2, name: 't', kernel: '7.3', machine: config, steps: stepsOf(START), threads };
  const said = 'set aside: the number of a, 1, was given out again during: attach new mock device md to a as x';
  expect(replay(trace)).toEqual({ verdict: 'disagree', step: 'threads', details: [said] });
  expect(drawTrace(trace).at(-1)).toBe(said);
});
