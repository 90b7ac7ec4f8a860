/** What names lead to. */

import type { Handle } from '../trace/command.ts';
import { isHeld } from './holds.ts';
import { first, type Refusal } from './outcome.ts';
import type { Bytes, Context, Device, Domain, Ioas, Mapping, Outcome, Source, Space, State } from './spec.ts';

/** What a name leads to when that is not there: the descriptor, the object in its context, the file or memory. */
const NOBODY: Context = { is: 'context', name: 'nobody' };
const EMPTY = { areas: [], domains: [], allowed: [], largePages: true };
export const CLOSED: Ioas = { space: { is: 'ioas', name: 'closed', context: NOBODY }, ...EMPTY };
export const GONE: Ioas = { space: { is: 'ioas', name: 'gone', context: NOBODY }, ...EMPTY };
export const NOTHING: Source = { is: 'memfd', memory: '', base: 0n, length: 0n, ranges: [], owner: undefined };

/** What a device is while nobody has it bound, and what it is to begin with. */
const IDLE = { memory: false, power: 0, lowPower: undefined, lost: true, spared: [] } as const;
export const SHUT = { ...IDLE, holder: undefined, context: undefined } as const;
export const LOOSE = { ...SHUT, opening: undefined, attached: false, domain: undefined, exports: 0 } as const;
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
  if (!inside && isHeld(s, object, 'removes')) return GONE;
  return s.ioases.find(({ space, domains }) => space === object || domains.some((domain) => domain === object)) ?? GONE;
};
export const ioasNamed = (s: State, name: Handle): Ioas => {
  const object = objectNamed(s, name);
  const ioas = home(s, object);
  return ioas === CLOSED || ioas.space === object ? ioas : GONE;
};
/** Of a child, or of the first process. */
export const mappingNamed = (s: State, name: Handle, process?: Handle): Mapping | undefined =>
  s.mappings.find((it) => it.name === name && it.process === process);
/** User memory and mappings, or else the file behind a descriptor. */
export const sourceNamed = (s: State, name: Handle, user = false): Source => {
  const named = s.handles.get(name) ?? mappingNamed(s, name)?.source;
  return named && 'base' in named && user === inUserSpace(named) ? named : NOTHING;
};
export const inUserSpace = ({ is }: Source): boolean => is === 'memory' || is === 'mapping';

/** A byte of memory as traces write it. */
export const targetOf = (memory: string, offset: Bytes): string => `${memory}+${showHex(offset)}`;
export const showHex = (n: Bytes): string => `0x${n.toString(16)}`;

export const unbound = (s: State, dev: Handle): Refusal | undefined => {
  const { opening, holder } = deviceNamed(s, dev);
  return first([!opening, 'EBADF'], [holder !== opening, 'EINVAL']);
};
/** A device answers the opening that has it bound, and is awake while it does; in low power it then sleeps, in D0. */
export const whenBound = (s: State, dev: Handle, act: (s: State, device: Device) => Outcome): Outcome => {
  const [refusal, device] = [unbound(s, dev), deviceNamed(s, dev)];
  if (refusal || !device.lowPower) return refusal ?? act(s, device);
  const awake = woken(s, (it) => it === device);
  const outcome = act(awake, deviceNamed(awake, dev));
  const after = ('state' in outcome && outcome.state) || awake;
  const asleep = (it: Device): Device => (it.name === dev && it.lowPower ? { ...it, power: 0 } : it);
  return { ...outcome, state: { ...after, devices: after.devices.map(asleep) } };
};
/** To wake up is to leave low power, if that was to last until then. What was taken back stays so. */
export const woken = (s: State, which: (device: Device) => boolean): State => {
  const leaves = (it: Device): boolean => it.lowPower === 'until woken' && which(it);
  return { ...s, devices: s.devices.map((it) => (leaves(it) ? { ...it, lowPower: undefined } : it)) };
};
