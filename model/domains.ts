/** Contexts, their IOASes and domains, and which domain a group is in. */

import { unfillable } from './areas.ts';
import { revoke, SHUT } from './devices.ts';
import { alignment, automatic, gaps, MAX, meeting, reserved } from './iova.ts';
import { CLOSED, contextNamed, deviceNamed, GONE, home, ioasNamed, objectNamed, whenBound } from './names.ts';
import { done, first, give, type Refusal, swap } from './outcome.ts';
import type { Area, Context, Device, Do, Domain, Ioas, Outcome, Space, State } from './spec.ts';

export const openContext = (s: State, { as }: Do<'iommufd_open'>): Outcome => {
  const context: Context = { is: 'context', name: as };
  return done({ ...give(s, as, context), contexts: [...s.contexts, context] });
};

export const closeContext = (s: State, { ctx }: Do<'iommufd_close'>): Outcome => {
  const contexts = s.contexts.filter((context) => context !== contextNamed(s, ctx));
  return contextNamed(s, ctx) ? done(swept({ ...s, contexts })) : { err: 'EBADF' };
};

/** A context goes, with all that is in it, once its descriptor is closed and no device is bound to it. */
const swept = (s: State): State => {
  const held = [...s.contexts, ...s.devices.map(({ context }) => context)];
  return { ...s, ioases: s.ioases.filter(({ space }) => held.includes(space.context)) };
};

export const ioasAlloc = (s: State, { ctx, as }: Do<'ioas_alloc'>): Outcome => {
  const context = contextNamed(s, ctx);
  if (!context) return { err: 'EBADF' };
  const space: Space = { is: 'ioas', name: as, context };
  return done({ ...give(s, as, space), ioases: [...s.ioases, { space, areas: [], domains: [] }] });
};

/** What is not reserved, whether or not areas are there already. */
export const iovaRanges = (s: State, c: Do<'ioas_iova_ranges'>): Outcome => {
  const ioas = ioasNamed(s, c.ioas);
  const ok = { ranges: gaps(reserved(s, ioas), 0n, MAX), alignment: alignment(s, ioas) };
  return first([ioas === CLOSED, 'EBADF'], [ioas === GONE, 'ENOENT']) ?? { state: s, ok };
};

/** Why an IOAS cannot have one more domain. */
const unextendable = (s: State, ioas: Ioas): Refusal | undefined => {
  const { grain, pageSize, outside } = s.machine;
  const ragged = ({ iova, length, offset }: Area): boolean => (iova | length | (offset % pageSize)) % grain !== 0n;
  return (
    first([grain > pageSize, 'EINVAL'], [alignment(s, ioas) < grain && ioas.areas.some(ragged), 'EADDRINUSE']) ??
    first([ioas.areas.some(meeting(...outside)), 'EADDRINUSE']) ??
    ioas.areas.map((area) => unfillable(s, area)).find(Boolean)
  );
};

/** A domain made by hand is filled at once, and stays until it is destroyed. */
export const hwptAlloc = (s: State, { dev, ioas: name, as, flags = 0n }: Do<'hwpt_alloc'>): Outcome => {
  const parent = objectNamed(s, name);
  const ioas = home(s, parent);
  const domain: Domain = { is: 'domain', name: as, context: ioas.space.context, space: ioas.space };
  const ioases = swap(s.ioases, ioas, { domains: [...ioas.domains, domain] });
  return (
    first([ioas === CLOSED, 'EBADF'], [deviceNamed(s, dev).context !== parent?.context, 'ENOENT']) ??
    first([ioas === GONE, 'EINVAL'], [ioas.space !== parent || flags !== 0n, 'EOPNOTSUPP']) ??
    unextendable(s, ioas) ??
    done({ ...give(s, as, domain), ioases })
  );
};

/** Areas are no reason to keep an IOAS, nor a domain. Domains keep their IOAS, and devices their domain. */
export const destroy = (s: State, { obj }: Do<'destroy'>): Outcome => {
  const object = objectNamed(s, obj);
  const ioas = home(s, object);
  const domains = ioas.domains.filter((domain) => domain !== object);
  const whole = ioas.space === object;
  const used = s.devices.some(({ domain }) => domain === object) || (whole && domains.length > 0);
  const ioases = whole ? s.ioases.filter((other) => other !== ioas) : swap(s.ioases, ioas, { domains });
  return first([ioas === CLOSED, 'EBADF'], [ioas === GONE, 'ENOENT'], [used, 'EBUSY']) ?? done({ ...s, ioases });
};

/**
 * A group has one domain. Its first device takes it there, and the others may only join; but a device that is attached
 * already takes the whole group along.
 */
export const attach = (s: State, { dev, pt }: Do<'vfio_attach'>): Outcome => {
  const domain = objectNamed(s, pt);
  const ioas = home(s, domain, true);
  const there = automatic(s, ioas) || domain !== ioas.space;
  const unfilled = there ? undefined : unextendable(s, ioas);
  const unreserved = first([ioas.areas.some(meeting(...s.machine.reserved)), 'EADDRINUSE']);
  if (!domain) return { err: 'EBADF' };
  return whenBound(s, dev, (device) => {
    const elsewhere = !device.attached && (device.domain ?? domain) !== domain;
    const refusal = device.attached ? (unfilled ?? unreserved) : (unreserved ?? unfilled);
    const moved = done(move(s, device, domain, true));
    return first([ioas.space.context !== device.context, 'ENOENT'], [elsewhere, 'EINVAL']) ?? refusal ?? moved;
  });
};

/** The group stays where it is as long as another of its devices is attached. */
export const detach = (s: State, device: Device): State => {
  const stays = s.devices.some((d) => d.attached && d.name !== device.name && d.config.group === device.config.group);
  return move(s, device, stays ? device.domain : undefined, false);
};

const move = (s: State, { name, config }: Device, domain: Device['domain'], attached: boolean): State => {
  const placed = (it: Device): Device => ({ ...it, domain, attached: it.name === name ? attached : it.attached });
  return { ...s, devices: s.devices.map((other) => (other.config.group === config.group ? placed(other) : other)) };
};

/** What it exported is revoked for good: a new opening does not bring it back. */
export const close = (s: State, { dev }: Do<'vfio_close'>): Outcome => {
  const device = deviceNamed(s, dev);
  const left = detach(revoke(s, [device]), device);
  const devices = swap(left.devices, deviceNamed(left, dev), SHUT);
  return device.opening ? done(swept({ ...left, devices })) : { err: 'EBADF' };
};
