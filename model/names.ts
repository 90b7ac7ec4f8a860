/** What names lead to. */

import type { Handle } from '../trace/command.ts';
import { first } from './outcome.ts';
import type { Bytes, Context, Device, Domain, Ioas, Outcome, Source, Space, State } from './spec.ts';

/** What a name leads to when that is not there: the descriptor, the object in its context, the file or memory. */
const NOBODY: Context = { is: 'context', name: 'nobody' };
const EMPTY = { areas: [], domains: [], allowed: [], largePages: true };
export const CLOSED: Ioas = { space: { is: 'ioas', name: 'closed', context: NOBODY }, ...EMPTY };
export const GONE: Ioas = { space: { is: 'ioas', name: 'gone', context: NOBODY }, ...EMPTY };
export const NOTHING: Source = { is: 'memfd', memory: '', base: 0n, length: 0n, ranges: 1, owner: undefined };

/** What a device is while nobody has it bound, and what it is to begin with. */
export const SHUT = { holder: undefined, context: undefined, memory: false, power: 0 } as const;
export const LOOSE = { ...SHUT, opening: undefined, attached: false, domain: undefined } as const;
const NO_DEVICE: Device = { name: '', config: { bars: new Map(), group: -1, bus: -1, resets: [] }, ...LOOSE };

/** The devices of the machine are always there, open or not. */
export const deviceNamed = (s: State, dev: Handle): Device => s.devices.find(({ name }) => name === dev) ?? NO_DEVICE;
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
/** User memory and mappings, or else the file behind a descriptor. */
export const sourceNamed = (s: State, name: Handle, user = false): Source => {
  const named = s.handles.get(name);
  return named && 'base' in named && user === inUserSpace(named) ? named : NOTHING;
};
export const inUserSpace = ({ is }: Source): boolean => is === 'memory' || is === 'mapping';

/** A byte of memory as traces write it. */
export const targetOf = (memory: string, offset: Bytes): string => `${memory}+0x${offset.toString(16)}`;

/** A device answers the opening that has it bound. */
export const whenBound = (s: State, dev: Handle, act: (device: Device) => Outcome): Outcome => {
  const device = deviceNamed(s, dev);
  return first([!device.opening, 'EBADF'], [device.holder !== device.opening, 'EINVAL']) ?? act(device);
};
