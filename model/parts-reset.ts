/** The smaller steps of a hot reset: it takes memory_lock of each member by trylock, or undoes what it has done. */

import type { Handle } from '../trace/command.ts';
import { deviceNamed } from './names.ts';
import { drop, end, go, hold, OK, type Part, part, refuse, taken } from './part.ts';
import { deviceCall, memoryOf, restoring, revoking, roused, setOf, zapped } from './parts-revoke.ts';
import type { Device, Do } from './spec.ts';

/** dev_set · each member: owned, its memory_lock by trylock, revoked · the reset · each again, the last one first. */
export const hotResetParts = ({ dev }: Do<'vfio_hot_reset'>): readonly Part[] =>
  deviceCall(dev, (_, device) => [
    part('locks the set', (s, by) => {
      if (taken(s, by, setOf(device))) return 'waits';
      const members = s.devices.filter(({ config }) => config.bus === device.config.bus).map(({ name }) => name);
      return go(hold(roused(s, by, members), by, 'locks', setOf(device)), [tryLocking(dev, members, 0)]);
    }),
  ]);
const tryLocking = (dev: Handle, members: readonly Handle[], i: number): Part =>
  part(`tries ${members[i]}`, (s, by) => {
    const [{ context }, member] = [deviceNamed(s, dev), deviceNamed(s, members[i]!)];
    const owned = s.devices.some((it) => it.context === context && it.config.group === member.config.group);
    const undo = members.slice(0, i).reverse().map(unlocking);
    if (!owned) return refuse(s, 'EINVAL', undo);
    if (taken(s, by, memoryOf(member.name))) return refuse(s, 'EBUSY', undo);
    const next = i + 1 < members.length ? tryLocking(dev, members, i + 1) : resetting(dev, members);
    return go(hold(s, by, 'enters', memoryOf(member.name)), [...revoking(s, member.name), next]);
  });
const resetting = (dev: Handle, members: readonly Handle[]): Part =>
  part('resets', (before, by) => {
    const s = members.reduce((state, name) => zapped(state, by, name), before);
    const devices = s.devices.map((it): Device => (members.includes(it.name) ? { ...it, power: 0 } : it));
    const { hotResetErr: err } = deviceNamed(s, dev).config;
    return end({ ...s, devices }, err ? { err } : OK, members.toReversed().map(unlocking));
  });
const unlocking = (dev: Handle): Part =>
  part(`unlocks ${dev}`, (s, by) => {
    const { state, next } = restoring(zapped(s, by, dev), dev);
    return next ? go(state, [unlocking(dev)]) : go(drop(state, by, 'locks', memoryOf(dev)));
  });
