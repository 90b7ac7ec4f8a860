/** Whether some order of its calls explains a history. They are made by hand; each is refused for one reason. */
import { expect, test } from 'vitest';
import { reaches } from '../../model/observe.ts';
import type { State } from '../../model/spec.ts';
import type { Call } from '../../properties/concurrent/history.ts';
import { linearize, showVerdict } from '../../properties/concurrent/linearize.ts';
import { differences, sightOf } from '../../properties/concurrent/sight.ts';
import { perform } from '../../properties/perform.ts';
import { attach as enter, MAP, mapBar, OFF, START, touch } from '../../properties/races/steps.ts';
import { newWorld } from '../../properties/world.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { play } from './model-rig.ts';
import { attach, BASE, machine, mapFile, memory, start } from './model-scene.ts';

const OK: Result = { ok: {} };
const MAPPED: Result = { ok: { iova: BASE } };
const attached = play(start(), attach());

const call = (command: Command, began: number, returned: number, result: Result = OK): Call => {
  return { command, began, returned, result };
};

/** What `linearize` says of calls between two states, of which the reach of devices is seen. */
function judged(before: State, branches: readonly (readonly Call[])[], after: State): readonly string[] | 'explained' {
  const reach = new Map(after.devices.map(({ name }) => [name, reaches(after, name)]));
  const history = { before, branches, after: { reach } };
  const verdict = linearize(history);
  return verdict.explained ? 'explained' : showVerdict(history, verdict);
}

test('a map and a revoke that overlap are explained in either order', () => {
  const revoked = play(attached, memory(false));
  const both = (result: Result): readonly (readonly Call[])[] => [
    [call(mapFile(), 1, 9, result)],
    [call(memory(false), 2, 8)],
  ];
  expect(judged(attached, both(MAPPED), revoked)).toBe('explained');
  expect(judged(attached, both({ err: 'ENODEV' }), revoked)).toBe('explained');
});

test('a map that began when the revoke had returned does not come before it', () => {
  const calls = [[call(mapFile(), 5, 9, MAPPED)], [call(memory(false), 1, 4)]];
  expect(judged(attached, calls, play(attached, memory(false)))).toEqual([
    'no order explains it; the closest:',
    '  1: turn memory of dev0 off  ok',
    'then:',
    '  map b0+0x0 length 0x4000 at 0x1000000 in a: the model answers {"err":"ENODEV"}, ' +
      'the implementation {"ok":{"iova":"0x1000000"}}',
  ]);
});

test('what is still reached although a revoke has returned is explained by no order', () => {
  const calls = [[call(mapFile(), 1, 9, MAPPED)], [call(memory(false), 2, 8)]];
  expect(judged(attached, calls, play(attached, mapFile()))).toEqual([
    'no order explains it; the closest:',
    '  0: map b0+0x0 length 0x4000 at 0x1000000 in a  ok at 0x1000000',
    '  1: turn memory of dev0 off  ok',
    'then:',
    '  dev1 reaches nothing in the model, and 0x1000000 → dev0:2+0x10000 length 0x4000 as seen',
  ]);
});

test('who is blocked may have done what it does, or nothing', () => {
  const blocked: Call = { command: memory(false), began: 2 };
  const map = call(mapFile(), 1, 9, MAPPED);
  expect(judged(attached, [[map], [blocked]], play(attached, mapFile()))).toBe('explained');
  expect(judged(attached, [[map], [blocked]], play(attached, memory(false)))).toBe('explained');
});

test('what the implementation shows is what the model does, and what it would not show is told', () => {
  const world = newWorld(machine, '7.3');
  for (const command of [...START, enter('dev1'), MAP, mapBar('v'), touch('v')]) perform(world, command as Command);
  const seen = sightOf(world.machine);
  expect(differences(world.state, seen)).toEqual([]);
  expect(differences(play(world.state, OFF, { do: 'destroy', obj: 'ioas' }), seen)).toEqual([
    'dev1 reaches nothing in the model, and 0x1000000 → dev0:2+0x0 length 0x4000 as seen',
    'buf is revoked in the model, and usable as seen',
    'the CPU reaches dev0:2+0x0 at 0x0 of v',
  ]);
  expect(differences(play(world.state, { do: 'ioas_unmap', ioas: 'ioas', iova: BASE, length: 0x4000n }), seen)).toEqual(
    [
      'dev1 reaches nothing in the model, and 0x1000000 → dev0:2+0x0 length 0x4000 as seen',
      'in ioas is nothing in the model, and an area at 0x1000000 length 0x4000 as seen',
    ],
  );
});
