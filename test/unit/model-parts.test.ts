/** Commands in smaller steps: who waits for whom, and what is answered amid another's, or in rare states. */
import { expect, test } from 'vitest';
import { reaches } from '../../model/observe.ts';
import type { Freedom } from '../../model/part.ts';
import { advance, begin, isDone, nextOf, type UnderWay } from '../../model/parts.ts';
import { type Do, reach, type State } from '../../model/spec.ts';
import type { Command, Handle } from '../../trace/command.ts';
import { device, play } from './model-rig.ts';
import { attach, BASE, copy, machine, mapUser, memory, start } from './model-scene.ts';

/** A command that has come as far as it could, or was to. */
type Come = Readonly<{ state: State; underWay: UnderWay }>;

/** It goes on until its next step is `until`, or until it waits, or to its end. */
function goOn({ state, underWay }: Come, until?: string, free: Freedom = {}): Come {
  if (isDone(underWay) || nextOf(underWay) === until) return { state, underWay };
  const next = advance(state, underWay, free);
  if (next === 'waits') return { state, underWay };
  if ('refused' in next) throw new Error(next.refused);
  return goOn(next, until, free);
}
/** Each is somebody else's. */
let number = 0;
const started = (state: State, command: Command, until?: string, free?: Freedom): Come => {
  const come = goOn({ state, underWay: begin(++number, command) }, until, free);
  if (until !== undefined) expect(nextOf(come.underWay)).toBe(until);
  return come;
};
const said = ({ underWay }: Come): unknown => {
  const { answer } = underWay;
  if (!isDone(underWay)) return `waits before it ${nextOf(underWay)}`;
  return answer && ('err' in answer ? answer.err : answer.ok);
};

const hwpt = (as: Handle, dev: Handle, more: Partial<Extract<Command, { do: 'hwpt_alloc' }>> = {}): Command => {
  return { do: 'hwpt_alloc', dev, ioas: 'a', as, ...more };
};
const mock = (ioas: Handle, dev: Handle): Command => ({ do: 'mock_domain', ioas, as: `h-${dev}`, dev });
const mapBar = (length: bigint): Do<'bar_mmap'> => {
  return { do: 'bar_mmap', dev: 'dev0', region: 2, offset: 0n, length, as: 'v' };
};
const munmap: Command = { do: 'munmap', map: 'v' };
const touch = (offset: bigint): Command => ({ do: 'peek', map: 'v', offset });
const hotReset = (dev: Handle): Command => ({ do: 'vfio_hot_reset', dev });
const bind = (dev: Handle): Command => ({ do: 'vfio_bind', dev, ctx: 'ctx' });
const unmap: Command = { do: 'ioas_unmap', ioas: 'a', iova: BASE, length: 0x2000n };
const detach: Command = { do: 'vfio_detach', dev: 'dev0' };
const anywhere: Command = { do: 'ioas_map', ioas: 'a', mem: 'm0', offset: 0n, length: 0x2000n, prot: 'rw' };

const group = start({
  ...machine,
  devices: new Map([
    ['dev0', device(0, { resets: ['pm', 'bus'] })],
    ['dev1', device(0)],
  ]),
});
const shown = start(machine, true);
const mapped = play(start(), mapUser());
/** An IOAS with a domain made by hand, where dev0 is. */
const byHand = play(start(), hwpt('h', 'dev0'), attach('h', 'dev0'));
const FILLS = 'fills from 0x0 on';

test.each<
  readonly [what: string, before: State, other: Command, until: string, Command, waits: string, answer: unknown]
>([
  ['a copy, for a domain that is filled', mapped, attach(), FILLS, copy(), 'takes the pages', { iova: 0x200_0000n }],
  [
    'an unmap, for a domain that is filled',
    mapped,
    attach(),
    FILLS,
    unmap,
    `takes from 0x1000000 on`,
    { length: 0x2000n },
  ],
  ['an attach, for another to the same IOAS', mapped, attach(), FILLS, attach('a', 'dev0'), 'reserves', {}],
  ['an attach of a test device, for a new domain', mapped, attach(), FILLS, mock('a', 'md0'), 'reserves', {}],
  [
    'a move to a domain, for another to it',
    play(mapped, attach('a', 'dev0'), attach()),
    attach(),
    'reserves',
    attach('a', 'dev0'),
    'joins',
    {},
  ],
  [
    'a move to an IOAS, for an attach that makes its domain',
    play(mapped, attach('b', 'dev0')),
    attach(),
    'joins',
    attach('a', 'dev0'),
    'joins',
    {},
  ],
  [
    'a move to a domain made by hand, for another domain of the IOAS',
    play(mapped, hwpt('h', 'dev0'), attach('b', 'dev0')),
    attach(),
    FILLS,
    attach('h', 'dev0'),
    'reserves',
    {},
  ],
  ['a move elsewhere, for a new domain where it was', byHand, attach(), FILLS, attach('b', 'dev0'), 'gives back', {}],
  ['a detach, for a new domain where it was', byHand, attach(), FILLS, detach, 'gives back', {}],
  [
    'a mapping of a BAR that is a buffer, too, for memory_lock',
    shown,
    memory(false),
    'acts',
    mapBar(0x1000n),
    'maps',
    {},
  ],
  ['a hot reset, for another of the set', group, hotReset('dev0'), 'tries dev0', hotReset('dev1'), 'locks the set', {}],
  [
    'a bind, for a hot reset of the set',
    play(group, { do: 'vfio_close', dev: 'dev1' }, { do: 'vfio_open', dev: 'dev1' }),
    hotReset('dev0'),
    'tries dev0',
    bind('dev1'),
    'finds the context',
    {},
  ],
  ['an attach, for another of the set', group, attach('a', 'dev0'), 'reserves', attach('a', 'dev1'), 'finds a', {}],
  [
    'a detach, for a hot reset of the set',
    play(group, attach('a', 'dev0')),
    hotReset('dev0'),
    'tries dev0',
    detach,
    'leaves',
    {},
  ],
])('what waits: %s', (_, before, other, until, command, waits, answer) => {
  const first = started(before, other, until);
  const second = started(first.state, command);
  expect(said(second)).toBe(`waits before it ${waits}`);
  const ended = goOn({ ...first, state: second.state });
  expect(said(ended)).toEqual({});
  expect(said(goOn({ ...second, state: ended.state }))).toEqual(answer);
});

test('where the kernel chose a place and told nobody, the map waits for a domain that is filled', () => {
  const map = started(start(), { ...anywhere, offset: 0x10_0000n }, 'fills it somewhere');
  const attaching = started(map.state, attach(), FILLS);
  const waiting = goOn({ ...map, state: attaching.state });
  expect(said(waiting)).toBe('waits before it fills it somewhere');
  const attached = goOn({ ...attaching, state: waiting.state });
  expect(said(attached)).toEqual({});
  // Only that domain has to be filled with what is not there.
  expect(said(goOn({ ...waiting, state: attached.state }))).toBe('EFAULT');
});

const destroying = started(play(start(), hwpt('h', 'dev0')), { do: 'destroy', obj: 'h' }, 'removes domain h').state;
const halfRevoked = started(
  play(shown, { do: 'fd_mmap', fd: 'b0', offset: 0n, length: 0x1000n, as: 'v' }),
  memory(false),
  'zaps it',
).state;
/** A domain that tracks dirty pages. */
const dirty = play(start(), mock('a', 'md0'), hwpt('d', 'md0', { flags: 2n }));
const twoContexts = play(mapped, { do: 'iommufd_open', as: 'ctx2' }, { do: 'ioas_alloc', ctx: 'ctx2', as: 'c' });

test.each<readonly [what: string, before: State, Command, answer: unknown]>([
  ['a domain for one that is being destroyed', destroying, hwpt('h2', 'dev0', { ioas: 'h' }), 'EINVAL'],
  ['an attach to a domain that is being destroyed', destroying, attach('h'), 'ENOENT'],
  ['a copy to another context', twoContexts, copy({ dst: 'c' }), 'ENOENT'],
  ['a copy to a domain', play(mapped, hwpt('h', 'dev0')), copy({ dst: 'h' }), 'ENOENT'],
  ['an attach elsewhere than its group', play(group, attach('a', 'dev0')), attach('b', 'dev1'), 'EINVAL'],
  ['an attach to a domain that tracks dirty pages', dirty, attach('d'), 'EINVAL'],
  ['the same of a device that is attached', play(dirty, attach('a')), attach('d'), 'EINVAL'],
  ['the same of a test device', dirty, mock('d', 'md1'), {}],
  [
    'a touch of a hole in a mapping',
    play(start(), mapBar(0x2000n), { do: 'munmap', map: 'v', offset: 0n, length: 0x1000n }),
    touch(0n),
    'EFAULT',
  ],
  [
    'a move to an IOAS that the hardware cannot reach all of',
    play(start(), mapUser({ iova: 1n << 48n }), attach('b', 'dev0')),
    attach('a', 'dev0'),
    'EADDRINUSE',
  ],
  ['a bind of what is bound', start(), bind('dev0'), 'EINVAL'],
  ['a mapping of what is no region', start(), { ...mapBar(0x1000n), region: 9 }, 'EINVAL'],
  ['an unmap of half a page', play(start(), mapBar(0x2000n)), { ...munmap, offset: 0x800n }, 'EINVAL'],
])('%s: %o', (_, before, command, answer) => {
  expect(said(started(before, command))).toEqual(answer);
});

test('a touch that finds the entry, before a revoke has zapped it, ends where the mapping does', () => {
  const found = (offset: bigint): unknown => said(started(halfRevoked, touch(offset), undefined, { hit: true }));
  expect(found(0xffcn)).toEqual({ value: 'dev0:2+0x10ffc' });
  expect(found(0xffen)).toBe('EFAULT');
});

test('a mapping that is unmapped as a whole has no name any more, and a child may still get it', () => {
  const going = started(play(start(), mapBar(0x2000n)), munmap, 'unmaps');
  const others: Command[] = [touch(0n), munmap, { ...anywhere, mem: 'v' }];
  expect(others.map((command) => said(started(going.state, command)))).toEqual(['EBADF', 'EBADF', 'EBADF']);
  const forked = started(going.state, { do: 'fork', as: 'p' });
  const ended = goOn({ ...going, state: forked.state });
  expect([said(forked), said(ended)]).toEqual([{}, {}]);
  expect(ended.state.mappings.map(({ name, process }) => [name, process])).toEqual([['v', 'p']]);
});

test('what a fault has entered may be gone again, and meanwhile the fault was in the way of a hot reset', () => {
  const hit = false;
  const faulting = started(play(group, mapBar(0x1000n)), touch(0n), 'unlocks', { hit });
  const refused = started(faulting.state, hotReset('dev0'));
  const again = goOn({ ...faulting, state: refused.state }, undefined, { hit });
  expect([said(refused), said(again)]).toEqual(['EBUSY', 'waits before it touches again']);
  const off = started(again.state, memory(false));
  expect(said(goOn({ ...again, state: off.state }, undefined, { hit }))).toEqual({ signal: 'SIGBUS' });
});

test('who unmaps a part of a mapping may find nothing there any more', () => {
  const before = play(start(), mapBar(0x2000n));
  const going = started(before, { ...munmap, offset: 0x1000n }, 'unmaps');
  const gone = started(going.state, munmap);
  expect([said(gone), said(goOn({ ...going, state: gone.state }))]).toEqual([{}, {}]);
});

test('a BAR is mapped although its descriptor is closed meanwhile, and not before', () => {
  const mapping = started(start(), mapBar(0x1000n), 'maps');
  const closed = started(mapping.state, { do: 'vfio_close', dev: 'dev0' });
  const forked = started(closed.state, { do: 'fork', as: 'p' });
  const ended = goOn({ ...mapping, state: forked.state });
  expect([said(closed), said(forked), said(ended)]).toEqual([{}, {}, {}]);
  expect(ended.state.mappings.map(({ name, process }) => [name, process])).toEqual([['v', undefined]]);
  expect(ended.state.devices[0]?.holder).toBeDefined();
});

test('a hot reset wakes the others of its set, which ends a low power that was to last until then', () => {
  const asleep = (wakeup: boolean): State => play(group, { do: 'vfio_low_power_entry', dev: 'dev1', wakeup });
  const after = (before: State): unknown => started(before, hotReset('dev0')).state.devices[1]?.lowPower;
  expect([asleep(true), asleep(false)].map(after)).toEqual([undefined, 'until left']);
});

test('a device reaches an area from when its domain is filled with it, be the area new or the domain', () => {
  const there = ({ state }: Come): boolean[] => [BASE, 0x200_0000n].map((iova) => !!reach(state, 'dev1', iova));
  const mapping = started(play(start(), attach()), mapUser(), 'fills 0x1000000');
  expect([there(mapping), said(started(mapping.state, unmap))]).toEqual([[false, false], 'EBUSY']);
  expect(there(goOn(mapping, 'is known'))).toEqual([true, false]);
  const attaching = started(play(mapped, copy()), attach(), FILLS);
  expect(there(attaching)).toEqual([false, false]);
  expect(there(goOn(attaching, 'fills from 0x1002000 on'))).toEqual([true, false]);
  expect(there(goOn(attaching))).toEqual([true, true]);
});

test('a device that leaves its group behind still reaches what the group does', () => {
  const attached = play(group, mapUser(), attach('a', 'dev0'), attach('a', 'dev1'));
  const left = started(attached, detach);
  expect(said(left)).toEqual({});
  expect(left.state.devices.map((it) => it.attached)).toEqual([false, true]);
  expect(reaches(left.state, 'dev0')).toEqual(reaches(attached, 'dev0'));
  expect(reach(left.state, 'dev0', BASE)).toBeDefined();
});

test('in low power a device that is put in D3 falls asleep again, in D0, with the end of the call', () => {
  const asleep = play(group, { do: 'vfio_low_power_entry', dev: 'dev0' });
  const power = started(asleep, { do: 'vfio_power', dev: 'dev0', state: 3 }, 'returns');
  expect(power.state.devices[0]).toMatchObject({ power: 3, lowPower: 'until left' });
  expect(goOn(power).state.devices[0]).toMatchObject({ power: 0, lowPower: 'until left' });
});

test('user memory that is a mapping of a buffer is not told of its revoke, and is found out by a domain', () => {
  const before = play(shown, mapBar(0x2000n), mapUser({ mem: 'v' }));
  const after = started(before, memory(false)).state;
  expect(after.ioases.flatMap(({ areas }) => areas.map(({ live }) => live))).toEqual([true]);
  expect(said(started(after, attach('a', 'dev0')))).toBe('EFAULT');
});
