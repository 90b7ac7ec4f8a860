/** Domains, and which of them a group of devices is in. */

import type { Handle } from '../trace/command.ts';
import { unfillable } from './areas.ts';
import { revoke } from './buffers.ts';
import { isHeld } from './holds.ts';
import { alignment, claims, higher } from './iova.ts';
import { CLOSED, deviceNamed, GONE, home, objectNamed, SHUT, whenBound } from './names.ts';
import { done, first, firstOf, give, type Refusal, swap } from './outcome.ts';
import { swept } from './spaces.ts';
import type { Area, Device, Do, Domain, Ioas, Outcome, Space, State } from './spec.ts';

/** Flags of domains that only test devices know: the parent of nested ones, and tracking of dirty pages. */
const [NESTS, DIRTY] = [1n, 2n];

/** Why an IOAS cannot have one more domain. */
export const unextendable = (s: State, ioas: Ioas): Refusal | undefined => {
  const { grain, pageSize, outside } = s.machine;
  const align = alignment(s, ioas);
  const ragged = ({ iova, length, offset }: Area): boolean => (iova | length | (offset % pageSize)) % grain !== 0n;
  return (
    first([grain > pageSize, 'EINVAL'], [align < grain && ioas.areas.some(ragged), 'EADDRINUSE']) ??
    first([claims(ioas, outside), 'EADDRINUSE'])
  );
};
/** Or which area cannot be filled in; one that is being set up is left to whom it belongs. */
const unfilling = (s: State, ioas: Ioas): Refusal | undefined =>
  firstOf(ioas.areas, (it) => (it.busy ? undefined : unfillable(s, it, higher(alignment(s, ioas), s.machine.grain))));

const made = ({ space }: Ioas, name: Handle, automatic: boolean, dirty = false): Domain => {
  return { is: 'domain', name, context: space.context, space, automatic, dirty };
};
export const automaticOf = (s: State, ioas: Ioas): Domain =>
  ioas.domains.find((domain) => domain.automatic && !isHeld(s, domain, 'removes')) ?? made(ioas, ioas.space.name, true);

/** A domain made by hand is filled at once, and stays until it is destroyed. */
export const hwptAlloc = (s: State, c: Do<'hwpt_alloc'>): Outcome => {
  const domain = hwptOf(s, c);
  if ('err' in domain) return domain;
  const joined = join(s, domain);
  return 'ok' in joined ? done(give(joined.state, c.as, domain)) : joined;
};

/** A domain that is in no IOAS yet. */
export const hwptOf = (s: State, { dev, ioas: name, as, flags = 0n }: Do<'hwpt_alloc'>): Domain | Refusal => {
  const parent = objectNamed(s, name);
  const [ioas, { context, holder }] = [home(s, parent), deviceNamed(s, dev)];
  const unknown = flags & ~(holder ? 0n : NESTS | DIRTY);
  return (
    first([ioas === CLOSED, 'EBADF'], [context !== parent?.context, 'ENOENT']) ??
    first([ioas === GONE, 'EINVAL'], [ioas.space !== parent || unknown !== 0n, 'EOPNOTSUPP']) ??
    made(ioas, as, false, (flags & DIRTY) !== 0n)
  );
};

/** An IOAS has one more domain. */
export const join = (s: State, domain: Domain): Outcome => {
  const ioas = home(s, domain.space, true);
  const ioases = swap(s.ioases, ioas, { ...ioas, domains: [...ioas.domains, domain] });
  return unextendable(s, ioas) ?? unfilling(s, ioas) ?? done({ ...s, ioases });
};

export const attach = (s: State, { dev, pt }: Do<'vfio_attach'>): Outcome => {
  const object = objectNamed(s, pt);
  return object ? whenBound(s, dev, (awake, device) => enter(awake, device, object)) : { err: 'EBADF' };
};

/**
 * A group has one domain. Its first device takes it there, and the others may only join; but a device that is attached
 * already takes the whole group along.
 */
export const enter = (s: State, device: Device, object: Space | Domain): Outcome => {
  const ioas = home(s, object, true);
  const domain = object.is === 'ioas' ? automaticOf(s, ioas) : object;
  const unfilled = ioas.domains.includes(domain) ? undefined : (unextendable(s, ioas) ?? unfilling(s, ioas));
  const unreserved = first([claims(ioas, s.machine.reserved), 'EADDRINUSE']);
  const elsewhere = !device.attached && (device.domain ?? domain) !== domain;
  const refusal = device.attached ? (unfilled ?? unreserved) : (unreserved ?? unfilled);
  const impossible = first([ioas.space.context !== device.context, 'ENOENT'], [elsewhere, 'EINVAL']);
  const unable = first([domain.dirty && device.holder !== undefined, 'EINVAL']);
  return impossible ?? refusal ?? unable ?? done(move(s, device, domain, true));
};

export const leave = (state: State, { dev }: Do<'vfio_detach'>): Outcome =>
  whenBound(state, dev, (s, device) => done(detach(s, device)));

/** The group stays where it is as long as another of its devices is attached. */
export const detach = (s: State, device: Device): State => {
  const stays = s.devices.some((d) => d.attached && d.name !== device.name && d.config.group === device.config.group);
  return move(s, device, stays ? device.domain : undefined, false);
};

const move = (s: State, { name, config, domain: left }: Device, domain: Device['domain'], attached: boolean): State => {
  const placed = (it: Device): Device => ({ ...it, domain, attached: it.name === name ? attached : it.attached });
  const devices = s.devices.map((other) => (other.config.group === config.group ? placed(other) : other));
  const gone = left?.automatic && !devices.some((device) => device.domain === left) ? left : undefined;
  const ioases = s.ioases.map((ioas): Ioas => {
    const come = domain?.space === ioas.space && !ioas.domains.includes(domain) ? [domain] : [];
    if (come.length === 0 && gone?.space !== ioas.space) return ioas;
    return { ...ioas, domains: [...ioas.domains.filter((it) => it !== gone), ...come] };
  });
  return { ...s, devices, ioases };
};

export const close = (s: State, c: Do<'vfio_close'>): Outcome => {
  const closed = closeDescriptor(s, c);
  return 'ok' in closed ? done(released(closed.state, c.dev)) : closed;
};
export const closeDescriptor = (s: State, { dev }: Do<'vfio_close'>): Outcome => {
  const device = deviceNamed(s, dev);
  const closed = { ...s, devices: swap(s.devices, device, { ...device, opening: undefined }) };
  return device.opening ? done(closed) : { err: 'EBADF' };
};

/** Whether nothing is left that keeps a device which somebody has bound. */
export const orphaned = (s: State, { opening, holder }: Device): boolean => {
  const kept = s.mappings.some(({ source }) => source.owner === holder && !source.of);
  return (
    holder !== undefined && opening !== holder && !kept && !isHeld(s, holder, 'uses') && !isHeld(s, holder, 'inherits')
  );
};

/**
 * A device is let go of when its holder has neither a descriptor nor a mapping left. What it exported is revoked for
 * good: a new opening does not bring it back.
 */
export const released = (s: State, dev: Handle): State => {
  const device = deviceNamed(s, dev);
  if (!orphaned(s, device)) return s;
  const left = detach(revoke(s, [device]), device);
  const it = deviceNamed(left, dev);
  return swept({ ...left, devices: swap(left.devices, it, { ...it, ...SHUT }) });
};
