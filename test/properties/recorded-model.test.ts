/** The kernel's own answers, held against the model alone: it says which of the two worlds is wrong. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { reaches } from '../../model/observe.ts';
import { initial, step } from '../../model/spec.ts';
import { choiceIn, wrongAnswer } from '../../properties/perform.ts';
import type { Reach } from '../../trace/answer.ts';
import type { Handle } from '../../trace/command.ts';
import { readTraces } from '../../trace/parse.ts';
import { showReach } from '../../trace/show.ts';
import type { Step, Trace } from '../../trace/trace.ts';
import { RECORDINGS } from './recordings.ts';

const TRACES = fileURLToPath(new URL('../traces/', import.meta.url));

/** The first thing in which the model differs from the recording, in a line. */
function difference({ machine, steps }: Trace): string | undefined {
  const known = new Map<Handle, readonly Reach[]>();
  let state = initial(machine);
  for (const [at, { command, result, reach }] of steps.entries()) {
    const where = `step ${at + 1}, ${command.do}`;
    if (result === undefined) return `${where}: no answer is recorded`;
    const outcome = step(state, command, choiceIn(command, result));
    const wrong = wrongAnswer(outcome, result);
    if (wrong !== undefined) return `${where}: ${wrong.join('; ')}`;
    if ('state' in outcome && outcome.state !== undefined) state = outcome.state;
    for (const [device, rows] of reach ?? []) known.set(device, rows);
    for (const [device, rows] of known) {
      const [expected, got] = [rows, reaches(state, device)].map((all) => all.map(showReach).join(', '));
      if (got !== expected) return `${where}: ${device} should reach [${expected}], got [${got}]`;
    }
  }
  return undefined;
}

test.each(RECORDINGS)(
  'the model alone gives the answers and the reach of all $all traces of $path',
  ({ path, all }) => {
    const traces = [...readTraces(`${TRACES}${path}`)];
    const wrong = traces.flatMap(({ where, trace }) => {
      const found = difference(trace);
      return found === undefined ? [] : [`${where}: ${found}`];
    });
    expect(wrong).toEqual([]);
    expect(traces).toHaveLength(all);
  },
);

test('a wrong answer and a wrong reach are told', () => {
  const trace = readTraces(`${TRACES}linux-7.2.13/scenarios/cpu-mapping-keeps-device-open.json`).next().value?.trace;
  const spoil = (number: number, more: Partial<Step>): Trace | undefined =>
    trace && {
      ...trace,
      steps: trace.steps.map((it: Step, at: number) => (at === number - 1 ? { ...it, ...more } : it)),
    };
  const told = (spoilt: Trace | undefined): string | undefined => spoilt && difference(spoilt);
  expect(told(trace)).toBeUndefined();
  expect(told(spoil(17, { result: { err: 'EIO' } }))).toMatch(/^step 17, peek: .*dev0:2\+0x4.*EIO/);
  expect(told(spoil(12, { reach: new Map([['dev2', []]]) }))).toMatch(
    /^step 12, vfio_close: dev2 should reach \[\], got/,
  );
});
