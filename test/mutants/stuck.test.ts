/** Calls that never return, in a program of threads and beside a call that fails: told as what keeps them. */
import { expect, test } from 'vitest';
import type { Stuck } from '../../explore/blame.ts';
import { following } from '../../explore/interleave.ts';
import * as execute from '../../impl/execute.ts';
import { Completion } from '../../impl/kernel/completion.ts';
import { current, preempt, type Task, type Thread } from '../../impl/kernel/thread.ts';
import { judge } from '../../properties/concurrent/judge.ts';
import { begin } from '../../properties/concurrent/program.ts';
import { race, SEQUENTIAL } from '../../properties/raced-faults/race.ts';
import { MACHINE } from '../../properties/raced-faults/scenes.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { during, patch } from './patch.ts';

const PREFIX: readonly Command[] = [
  { do: 'vfio_open', dev: 'dev0' },
  { do: 'vfio_open', dev: 'dev1' },
];
const CALLS: readonly [Command, Command] = [
  { do: 'vfio_close', dev: 'dev0' },
  { do: 'vfio_close', dev: 'dev1' },
];

/** What both calls wait for, who know of each other. */
const WAITS: readonly (readonly [
  verdict: Stuck['verdict'],
  waits: (others: () => readonly Task[]) => Completion,
  why: string,
])[] = [
  [
    'deadlock',
    (others) => new Completion('the other', { by: others, owed: () => 'the other' }),
    'which waits for itself: a deadlock',
  ],
  ['lost wake-up', () => new Completion('a wake-up'), 'waits for whoever must complete it'],
  [
    'environment',
    () => new Completion('it', { owed: () => 'an answer of the device' }),
    'waits for an answer of the device',
  ],
];

/** The two closes do nothing but wait. */
function waiting(waits: (typeof WAITS)[number][1]): ReturnType<typeof patch> {
  const under: Task[] = [];
  return patch(
    execute,
    'operation',
    (right) =>
      function* (machine, command): Thread<Result> {
        if (!CALLS.includes(command)) return yield* right(machine, command);
        const own = current();
        under.push(own);
        yield preempt;
        yield waits(() => under.filter((task) => task !== own));
        return { ok: {} };
      },
  );
}

test.each(WAITS)('in a program, %s', (verdict, waits, why) => {
  const program = { config: MACHINE, kernel: '7.3', prefix: PREFIX, branches: CALLS.map((call) => [call]) };
  const world = begin(program);
  const { broken } = during([waiting(waits)], () => judge(world, program.branches, following([])));
  const told = ['branch 1', 'branch 2'].map((name) => expect.stringMatching(`^${name} .*${why}$`));
  // A circle is told once.
  expect(broken).toEqual({ breach: verdict, details: verdict === 'deadlock' ? told.slice(0, 1) : told });
});

test.each(WAITS)('beside a call that fails, %s', (verdict, waits, why) => {
  const on = { config: MACHINE, kernel: '7.3' };
  const { state } = begin({ ...on, prefix: PREFIX, branches: [] });
  const [call, command] = CALLS;
  const raced = { ...on, before: PREFIX, state, call, revoke: { command, takes: [] } };
  const run = (): unknown => race(raced, undefined, { first: 'call', after: SEQUENTIAL });
  expect(() => during([waiting(waits)], run)).toThrow(
    expect.objectContaining({
      breach: verdict,
      details: [expect.stringMatching(`^call .*${why}`)],
    }),
  );
});
