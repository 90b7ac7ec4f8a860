/** What names lead to. */

import type { Handle } from '../trace/command.ts';
import { first } from './outcome.ts';
import type { Context, Device, Domain, Ioas, Outcome, Source, Space, State } from './spec.ts';

/** What a name leads to when that is not there: the descriptor, the object in its context, the file or memory. */
const NOBODY: Context = { is: 'context', name: 'nobody' };
export const CLOSED: Ioas = { space: { is: 'ioas', name: 'closed', context: NOBODY }, areas: [], domains: [] };
export const GONE: Ioas = { space: { is: 'ioas', name: 'gone', context: NOBODY }, areas: [], domains: [] };
export const NOTHING: Source = { is: 'memfd', memory: '', base: 0n, length: 0n, ranges: 1, owner: undefined };

/** The devices of the machine are always there, open or not. */
export const deviceNamed = (s: State, dev: Handle): Device => s.devices.find(({ name }) => name === dev)!;
export const contextNamed = (s: State, ctx: Handle): Context | undefined =>
  s.contexts.find((context) => context === s.handles.get(ctx));
export const objectNamed = (s: State, name: Handle): Space | Domain | undefined => {
  const named = s.handles.get(name);
  return named && 'context' in named ? named : undefined;
};
/** The IOAS where an IOAS or domain is, unless that is destroyed. `inside`: even if the descriptor is closed. */
export const home = (s: State, object: Space | Domain | undefined, inside = false): Ioas => {
  if (!object || !(inside || s.contexts.includes(object.context))) return CLOSED;
  return s.ioases.find(({ space, domains }) => space === object || domains.some((domain) => domain === object)) ?? GONE;
};
export const ioasNamed = (s: State, name: Handle): Ioas => {
  const [object, ioas] = [objectNamed(s, name), home(s, objectNamed(s, name))];
  return ioas === CLOSED || ioas.space === object ? ioas : GONE;
};
/** User memory, or else the file behind a descriptor. */
export const sourceNamed = (s: State, name: Handle, user = false): Source => {
  const named = s.handles.get(name);
  return named && 'base' in named && user === (named.is === 'memory') ? named : NOTHING;
};

/** A device answers once it is bound. */
export const whenBound = (s: State, dev: Handle, act: (device: Device) => Outcome): Outcome => {
  const device = deviceNamed(s, dev);
  return first([!device.opening, 'EBADF'], [!device.context, 'EINVAL']) ?? act(device);
};
