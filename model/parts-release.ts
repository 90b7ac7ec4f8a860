/** What a call owes for what it has let go of: a device that nobody keeps closes, and a buffer leaves its list. */

import type { Handle } from '../trace/command.ts';
import { orphaned } from './domains.ts';
import type { By } from './holds.ts';
import { deviceNamed, SHUT } from './names.ts';
import { swap } from './outcome.ts';
import { drop, go, hold, type Part, part, type Taken, taken } from './part.ts';
import { leaving } from './parts-domains.ts';
import { buffersOf, locking, memoryOf, setOf } from './parts-revoke.ts';
import { swept } from './spaces.ts';
import type { Device, Source, State } from './spec.ts';

/** What has just lost its last user. */
export const owedFor = (before: State, after: State): readonly Part[] => {
  const lost = (it: Device): boolean => orphaned(after, it) && !orphaned(before, deviceNamed(before, it.name));
  const gone = [...new Set(droppedIn(before, after))].filter((source) => {
    const device = before.devices.find(({ holder }) => holder !== undefined && holder === source.owner);
    const left = device && after.devices.find(({ name, holder }) => name === device.name && holder === device.holder);
    return left && buffersOf(before, device).includes(source) && !buffersOf(after, left).includes(source);
  });
  return [...after.devices.filter(lost).flatMap(letGo), ...gone.flatMap(unlist)];
};

/** What stood for a source before, and does no longer. */
const droppedIn = (before: State, after: State): readonly Source[] => {
  const gone = <T>(was: readonly T[], is: readonly T[]): readonly T[] =>
    was === is ? [] : was.filter((it) => !is.includes(it));
  const changed = [...gone(before.ioases, after.ioases), ...gone(before.holds, after.holds)];
  const named = before.handles === after.handles ? [] : gone([...before.handles.values()], [...after.handles.values()]);
  const whats = changed.map((it) => ('what' in it ? it.what : undefined));
  const mapped = gone(before.mappings, after.mappings).map(({ source }) => source.of ?? source);
  return [...named, ...whats, ...changed.flatMap((it) => it.areas ?? []).map(({ source }) => source), ...mapped].filter(
    isSource,
  );
};
const isSource = (it: object | string | undefined): it is Source => typeof it === 'object' && 'base' in it;

/** dev_set · memory_lock · each buffer, and then all are forgotten · detached · let go of. */
const letGo = (device: Device): readonly Part[] => [
  part(`closes ${device.name}`, (s, by) => {
    if (taken(s, by, setOf(device), memoryOf(device.name))) return 'waits';
    return locking(device.name, true).take(hold(s, by, 'locks', setOf(device)), by, {});
  }),
  part('forgets its buffers', (s, by) => {
    const it = deviceNamed(s, device.name);
    const devices = swap(s.devices, it, { ...it, lost: true, spared: [] });
    return go(unlocked({ ...s, devices }, by, device.name));
  }),
  leaving(device.name),
  part('is let go of', (s, by) => {
    const it = deviceNamed(s, device.name);
    const devices = swap(s.devices, it, { ...it, ...SHUT });
    return go(swept({ ...s, devices, holds: s.holds.filter((it) => it.by !== by) }));
  }),
];
const unlocked = (s: State, by: By, dev: Handle): State =>
  drop(drop(s, by, 'locks', memoryOf(dev)), by, 'enters', memoryOf(dev));

const unlist = (buffer: Source): readonly Part[] => {
  const dev = buffer.owner!.device;
  const lock = part('releases a buffer', (s, by): Taken => {
    if (taken(s, by, memoryOf(dev))) return 'waits';
    return go(hold(s, by, 'locks', memoryOf(dev)));
  });
  return [lock, part('unlocks', (s, by) => go(unlocked(s, by, dev)))];
};
