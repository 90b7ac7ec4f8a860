/** Whether some order of its calls explains a history. They are made by hand; each is refused for one reason. */
import { expect, test } from 'vitest';
import { reaches } from '../../model/observe.ts';
import { initial, type State } from '../../model/spec.ts';
import type { Call } from '../../properties/concurrent/history.ts';
import { linearize, showVerdict } from '../../properties/concurrent/linearize.ts';
import { differences, sightOf } from '../../properties/concurrent/sight.ts';
import { perform } from '../../properties/perform.ts';
import { MACHINES } from '../../properties/races/machines.ts';
import * as steps from '../../properties/races/steps.ts';
import { newWorld } from '../../properties/world.ts';
import type { Errno, Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import { play } from './model-rig.ts';
import { attach, BASE, machine, mapFile, mapUser, memory, start } from './model-scene.ts';

const OK: Result = { ok: {} };
const MAPPED: Result = { ok: { iova: BASE } };
const unmap: Command = { do: 'ioas_unmap', ioas: 'a', iova: BASE, length: 0x4000n };
const UNMAPPED: Result = { ok: { length: 0x4000n } };
const read = (iova: bigint): Command => ({ do: 'dma_read', dev: 'dev1', iova });
const at = (target: string): Result => ({ ok: { target } });
const FAULT: Result = { ok: { fault: true } };
/** What is left of an IOAS where a device is attached. */
const RESERVED: Result = {
  ok: {
    ranges: [
      [0n, 0xfedf_ffffn],
      [0xfef0_0000n, 0xffff_ffff_ffffn],
    ],
    alignment: 0x1000n,
  },
};

const anywhere = (offset: bigint): Command => {
  return { do: 'ioas_map', ioas: 'a', mem: 'm0', offset, length: 0x2000n, prot: 'rw' };
};

const attached = play(start(), attach());
const mapped = play(attached, mapFile());
const off = play(attached, memory(false));
/** Where buffers are mapped. */
const show = (as: string): Command => ({ do: 'fd_mmap', fd: 'b0', offset: 0n, length: 0x1000n, as });
const shown = play(start(machine, true), show('v'));
/** Two devices of one bus, each with a buffer that dev1 reaches. */
const bus = play(
  initial(MACHINES['one bus']),
  ...(steps.START as readonly Command[]),
  steps.attach('dev1'),
  steps.exportAs('other', 'dev1'),
  steps.MAP,
  steps.MAP_OTHER,
);

const call = (command: Command, began: number, returned: number, result: Result | Errno = OK): Call => {
  return { command, began, returned, result: typeof result === 'string' ? { err: result } : result };
};
type Branches = readonly (readonly Call[])[];

/** What `linearize` says of calls between two states, of which the reach of devices is seen. */
function judged(before: State, branches: Branches, after: State): readonly string[] | 'explained' {
  const reach = new Map(after.devices.map(({ name }) => [name, reaches(after, name)]));
  const history = { before, branches, after: { reach } };
  const verdict = linearize(history);
  return verdict.explained ? 'explained' : showVerdict(history, verdict);
}

test.each<readonly [what: string, before: State, branches: Branches, after: State]>([
  ['a map before a revoke', attached, [[call(mapFile(), 1, 9, MAPPED)], [call(memory(false), 2, 8)]], off],
  ['a map after a revoke', attached, [[call(mapFile(), 1, 9, 'ENODEV')], [call(memory(false), 2, 8)]], off],
  [
    'an unmap of what is being set up',
    attached,
    [[call(mapFile(), 1, 9, MAPPED)], [call(unmap, 2, 8, 'EBUSY')]],
    mapped,
  ],
  [
    'an unmap of what is being torn down',
    mapped,
    [[call(unmap, 1, 9, UNMAPPED)], [call(unmap, 2, 8, 'EBUSY')]],
    attached,
  ],
  [
    'a buffer that was lent before a revoke, and placed where an unmap after the revoke made room',
    play(attached, mapUser({ length: 0x4000n })),
    [[call(mapFile(), 1, 20, MAPPED)], [call(memory(false), 2, 8), call(unmap, 9, 12, UNMAPPED)]],
    off,
  ],
  [
    'a map that cannot be filled, and meanwhile is in the way of another',
    attached,
    [[call(mapUser({ offset: 0x10_0000n }), 1, 9, 'EFAULT')], [call(mapFile(), 2, 8, 'EEXIST')]],
    attached,
  ],
  [
    'the same where the kernel chose the place, and told nobody',
    attached,
    [[call(anywhere(0x10_0000n), 1, 9, 'EFAULT')], [call(memory(true), 2, 8)]],
    attached,
  ],
  [
    'an unmap that meets, across the place that it has come to, what was placed where it had made room',
    play(attached, mapUser({ length: 0x1000n }), mapUser({ iova: BASE + 0x5000n })),
    [
      [call({ do: 'ioas_unmap', ioas: 'a', iova: BASE, length: 0x8000n }, 1, 20, 'ENOENT')],
      [call(mapFile(), 2, 18, MAPPED)],
    ],
    play(attached, mapFile(), mapUser({ iova: BASE + 0x5000n })),
  ],
  [
    'a touch across the end of a mapping, of whose buffer a revoke under way has not zapped the entries yet',
    shown,
    [
      [call(memory(false), 1, 9)],
      [call(show('w'), 2, 3, 'ENODEV'), call({ do: 'peek', map: 'v', offset: 0xffen }, 4, 5, 'EFAULT')],
    ],
    play(shown, memory(false)),
  ],
  [
    'a detach under way: nothing is reached any more, and what the device reserved is not given back yet',
    mapped,
    [
      [call({ do: 'vfio_detach', dev: 'dev1' }, 1, 20)],
      [call(read(BASE), 2, 4, FAULT), call({ do: 'ioas_iova_ranges', ioas: 'a' }, 5, 7, RESERVED)],
    ],
    play(mapped, { do: 'vfio_detach', dev: 'dev1' }),
  ],
  [
    'a destroy of what a map uses',
    start(),
    [[call(mapFile(), 1, 9, MAPPED)], [call({ do: 'destroy', obj: 'a' }, 2, 8, 'EBUSY')]],
    play(start(), mapFile()),
  ],
  [
    'reads in the middle of an attach, which fills the lower area first',
    play(start(), mapFile(), mapUser({ iova: BASE + 0x10_0000n })),
    [
      [call(attach(), 1, 20)],
      [call(read(BASE), 4, 6, at('dev0:2+0x10000')), call(read(BASE + 0x10_0000n), 7, 9, FAULT)],
    ],
    play(start(), mapFile(), mapUser({ iova: BASE + 0x10_0000n }), attach()),
  ],
  [
    'a hot reset that meets a write to a member',
    bus,
    [[call(steps.hotReset('dev0'), 1, 9, 'EBUSY')], [call(steps.memory(true, 'dev1'), 2, 8)]],
    play(bus, steps.RESET),
  ],
])('%s is explained', (_, before, branches, after) => {
  expect(judged(before, branches, after)).toBe('explained');
});

test.each<readonly [what: string, before: State, branches: Branches, after: State, why: string]>([
  [
    'a map that began when a revoke had returned, and works',
    attached,
    [[call(mapFile(), 5, 9, MAPPED)], [call(memory(false), 1, 4)]],
    off,
    'map b0+0x0 length 0x4000 at 0x1000000 in a: the model answers {"err":"ENODEV"}, not {"ok":{"iova":"0x1000000"}}',
  ],
  [
    'what is still reached although a revoke has returned',
    attached,
    [[call(mapFile(), 1, 9, MAPPED)], [call(memory(false), 2, 8)]],
    mapped,
    'dev1 reaches nothing in the model, and 0x1000000 → dev0:2+0x10000 length 0x4000 as seen',
  ],
  [
    'EBUSY when the map had returned',
    attached,
    [[call(mapFile(), 1, 4, MAPPED)], [call(unmap, 5, 8, 'EBUSY')]],
    mapped,
    'unmap 0x1000000 length 0x4000 in a: the model answers {"ok":{"length":"0x4000"}}, not {"err":"EBUSY"}',
  ],
  [
    'ENODEV when no revoke had begun',
    attached,
    [[call(mapFile(), 1, 4, 'ENODEV')], [call(memory(false), 5, 8)]],
    off,
    'map b0+0x0 length 0x4000 at 0x1000000 in a: the model answers {"ok":{"iova":"0x1000000"}}, not {"err":"ENODEV"}',
  ],
  [
    'an automatic IOVA that is taken',
    mapped,
    [[call(anywhere(0n), 1, 4, MAPPED)], [call(memory(true), 2, 3)]],
    mapped,
    'map m0+0x0 length 0x2000 anywhere in a: IOVA 0x1000000 was chosen, and as a fixed one it is EEXIST',
  ],
  [
    'two unmaps that both remove an area',
    mapped,
    [[call(unmap, 1, 9, UNMAPPED)], [call(unmap, 2, 8, UNMAPPED)]],
    attached,
    'unmap 0x1000000 length 0x4000 in a: the model answers {"err":"ENOENT"}, not {"ok":{"length":"0x4000"}}',
  ],
  [
    'a read of the lower area that faults after one of the upper one, in the middle of an attach',
    play(start(), mapFile(), mapUser({ iova: BASE + 0x10_0000n })),
    [[call(attach(), 1, 20)], [call(read(BASE + 0x10_0000n), 4, 6, at('m0+0x0')), call(read(BASE), 7, 9, FAULT)]],
    play(start(), mapFile(), mapUser({ iova: BASE + 0x10_0000n }), attach()),
    'DMA read 0x1000000 by dev1: the model answers {"ok":{"target":"dev0:2+0x10000"}}, not {"ok":{"fault":true}}',
  ],
  [
    'a hot reset that is EBUSY when the write had returned',
    bus,
    [[call(steps.hotReset('dev0'), 5, 9, 'EBUSY')], [call(steps.memory(true, 'dev1'), 1, 4)]],
    play(bus, steps.RESET),
    'hot reset dev0: the model answers {"ok":{}}, not {"err":"EBUSY"}',
  ],
  [
    'a hot reset that is EBUSY and leaves what it has revoked of the first member reached',
    bus,
    [[call(steps.hotReset('dev0'), 1, 9, 'EBUSY')], [call(steps.memory(true, 'dev1'), 2, 8)]],
    bus,
    'dev1 reaches 0x2000000 → dev1:2+0x0 length 0x4000 in the model, and ' +
      '0x1000000 → dev0:2+0x0 length 0x4000, 0x2000000 → dev1:2+0x0 length 0x4000 as seen',
  ],
])('%s is explained by no order', (_, before, branches, after, why) => {
  const verdict = judged(before, branches, after);
  expect(verdict[0]).toBe('no order explains it; the closest:');
  expect(verdict).toContain(`  ${why}`);
});

test('who is blocked may have done what it does, or nothing', () => {
  const blocked: Call = { command: memory(false), began: 2 };
  const map = call(mapFile(), 1, 9, MAPPED);
  expect(judged(attached, [[map], [blocked]], mapped)).toBe('explained');
  expect(judged(attached, [[map], [blocked]], off)).toBe('explained');
});

test('the order that is told has a line for each stretch of a call', () => {
  const history = {
    before: attached,
    branches: [[call(mapFile(), 1, 9, MAPPED)], [call(unmap, 2, 8, 'EBUSY')]],
    after: { reach: new Map([['dev1', reaches(mapped, 'dev1')]]) },
  };
  expect(showVerdict(history, linearize(history))).toEqual([
    'explained by this order:',
    '  1: unmap 0x1000000 length 0x4000 in a (EBUSY): looks up',
    '  0: map b0+0x0 length 0x4000 at 0x1000000 in a (ok at 0x1000000): looks up, is lent, places',
    '  1: unmap 0x1000000 length 0x4000 in a (EBUSY): takes from 0x1000000 on, returns',
    '  0: map b0+0x0 length 0x4000 at 0x1000000 in a (ok at 0x1000000): fills 0x1000000, is known, returns',
  ]);
});

test('what the implementation shows is what the model does, and what it would not show is told', () => {
  const world = newWorld(machine, '7.3');
  const commands = [...steps.START, steps.attach('dev1'), steps.MAP, steps.mapBar('v'), steps.touch('v')];
  for (const command of commands as readonly Command[]) perform(world, command);
  const seen = sightOf(world.machine);
  expect(differences(world.state, seen)).toEqual([]);
  expect(differences(play(world.state, steps.OFF), seen)).toEqual([
    'dev1 reaches nothing in the model, and 0x1000000 → dev0:2+0x0 length 0x4000 as seen',
    'buf is revoked in the model, and usable as seen',
    'the CPU reaches dev0:2+0x0 at 0x0 of v',
  ]);
  const reopened = play(world.state, { do: 'vfio_close', dev: 'dev0' }, { do: 'vfio_open', dev: 'dev0' });
  expect(differences(reopened, seen)).toEqual([
    'dev0 is open and bound to ctx by a descriptor before it in the model, and open and bound to ctx as seen',
  ]);
  expect(differences(play(world.state, steps.unmap()), seen)).toEqual([
    'dev1 reaches nothing in the model, and 0x1000000 → dev0:2+0x0 length 0x4000 as seen',
    'in ioas is nothing in the model, and an area at 0x1000000 length 0x4000 as seen',
  ]);
});
