/** The kernel's own test devices, each in a group of its own, and its test exporter of dma-bufs. */

import type { Handle } from '../trace/command.ts';
import { shoot } from './buffers.ts';
import { detach, enter } from './domains.ts';
import { isHeld } from './holds.ts';
import { ceil } from './iova.ts';
import { CLOSED, contextNamed, deviceNamed, home, LOOSE, NOTHING, objectNamed, sourceNamed } from './names.ts';
import { done, first, give } from './outcome.ts';
import type { Device, Do, Domain, Outcome, Space, State } from './spec.ts';

/** A new device, bound in the context of what it is to be attached to. */
export const mockOn = (s: State, name: Handle, { context }: Space | Domain): Device => {
  const group = Math.min(0, ...s.devices.map(({ config }) => config.group)) - 1;
  const config = { bars: new Map(), group, bus: group, resets: [] };
  return { name, config, ...LOOSE, context };
};

/** It is attached like any other; `as` names the domain that it got. */
export const mockDomain = (s: State, { ioas, as, dev }: Do<'mock_domain'>): Outcome => {
  const object = objectNamed(s, ioas);
  if (!object || home(s, object) === CLOSED) return { err: 'EBADF' };
  const device = mockOn(s, dev, object);
  const outcome = enter({ ...s, devices: [...s.devices, device] }, device, object);
  if (!('ok' in outcome)) return outcome;
  return done(give(give(outcome.state, dev, object.context), as, deviceNamed(outcome.state, dev).domain));
};

/** The object that stands for a device, which is gone before the device has left. */
export const mockObjectOf = (dev: Handle): string => `object of ${dev}`;

export const mockDestroy = (s: State, { dev }: Do<'mock_domain_destroy'>): Outcome => {
  const left = detach(s, deviceNamed(s, dev));
  const devices = left.devices.filter(({ name }) => name !== dev);
  const gone = devices.length === s.devices.length || isHeld(s, mockObjectOf(dev), 'removes');
  return first([!contextNamed(s, dev), 'EBADF'], [gone, 'ENOENT']) ?? done({ ...left, devices });
};

/** Whole pages, and at most 512 of them. */
export const mockDmabuf = (s: State, { length, as }: Do<'mock_dmabuf'>): Outcome => {
  const [bytes, most] = [ceil(length, s.machine.pageSize), 512n * s.machine.pageSize];
  const named = { is: 'dmabuf', memory: as, base: 0n, length: bytes, ranges: [], owner: undefined } as const;
  return first([bytes === 0n || bytes > most, 'EINVAL']) ?? done(give(s, as, named));
};

/** Importers only know that they are to let go, so a restore shoots what is mapped, too. */
export const mockRevoke = (s: State, { fd, revoked }: Do<'mock_revoke'>): Outcome => {
  const buffer = sourceNamed(s, fd);
  const others = s.takenBack.filter((other) => other !== buffer);
  return (
    first([buffer === NOTHING, 'EBADF'], [buffer.is !== 'dmabuf', 'EINVAL'], [!!buffer.owner, 'EOPNOTSUPP']) ??
    done({ ...shoot(s, (source) => source === buffer), takenBack: revoked ? [...others, buffer] : others })
  );
};
