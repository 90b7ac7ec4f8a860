/** The smaller steps of domains: how they are made and destroyed, and how a device leaves one. */

import type { Handle } from '../trace/command.ts';
import { hwptOf, join } from './domains.ts';
import { type By, isHeld } from './holds.ts';
import { deviceNamed, home, objectNamed } from './names.ts';
import { give, swap } from './outcome.ts';
import { drop, end, go, hold, OK, type Part, part, refuse, type Stepped, taken, whole, written } from './part.ts';
import { using } from './parts-areas.ts';
import { deviceCall, setOf } from './parts-revoke.ts';
import { destroy } from './spaces.ts';
import type { Device, Do, Domain, Space, State } from './spec.ts';

export const mutexOf = (space: Space): string => `mutex of ${space.name}`;
export const groupOf = ({ config }: Device): string => `group ${config.group}`;
export const domainsOf = (s: State, space: Space, to: (domains: readonly Domain[]) => readonly Domain[]): State => {
  const ioas = home(s, space, true);
  return { ...s, ioases: swap(s.ioases, ioas, { ...ioas, domains: to(ioas.domains) }) };
};
/** The hardware of the group of a device goes to a domain, or nowhere. */
export const point = (s: State, { name, config }: Device, domain: Domain | undefined, attached: boolean): State => {
  const placed = (it: Device): Device => ({ ...it, domain, attached: it.name === name ? attached : it.attached });
  return { ...s, devices: s.devices.map((it) => (it.config.group === config.group ? placed(it) : it)) };
};

/** A domain that nobody finds any more goes. */
export const removal = (domain: Domain): Part =>
  part(`removes domain ${domain.name}`, (s, by) => {
    const { space } = domain;
    if (taken(s, by, mutexOf(space), space)) return 'waits';
    return go(
      drop(
        domainsOf(s, space, (all) => all.filter((it) => it !== domain)),
        by,
        'removes',
        domain,
      ),
    );
  });
/** With its last device, an automatic one. */
export const abandoned = (s: State, by: By, domain: Domain | undefined): Stepped => {
  const used = !domain?.automatic || s.devices.some((it) => it.domain === domain) || isHeld(s, domain, 'uses');
  return used ? go(s) : go(hold(s, by, 'removes', domain), [removal(domain)]);
};

/** HWPT_ALLOC: looked up · the IOAS has the domain, filled, which nobody else looks through yet · it has a name. */
export const hwptParts = (c: Do<'hwpt_alloc'>): readonly Part[] => [
  part('looks up', (s, by) => {
    const domain = hwptOf(s, c);
    if ('err' in domain) return refuse(s, domain.err);
    const { space } = domain;
    const joining = part('joins', (now, by) => {
      if (taken(now, by, mutexOf(space), space)) return 'waits';
      const joined = join(now, domain);
      return 'ok' in joined ? go(joined.state, [naming]) : whole(joined, now);
    });
    const naming = part('is known', (now) => end(give(now, c.as, domain), OK));
    return go(using(s, by, space, space.context), [joining]);
  }),
];

/** DESTROY of a domain: nobody finds it any more · it is gone. Nobody looks into an IOAS that is destroyed. */
export const destroyParts = (c: Do<'destroy'>): readonly Part[] => [
  part('looks up', (s, by) => {
    const object = objectNamed(s, c.obj);
    const outcome = destroy(s, c);
    if (!('ok' in outcome) || object?.is !== 'domain') return whole(outcome, s);
    return end(hold(using(s, by, object.context), by, 'removes', object), OK, [removal(object)]);
  }),
];

/** Detach: the hardware · what the device reserved · its automatic domain, if it was the last one there. */
export const leaving = (dev: Handle): Part =>
  part('leaves', (s, by) => {
    const device = deviceNamed(s, dev);
    const { domain, config } = device;
    if (taken(s, by, setOf(device), groupOf(device))) return 'waits';
    if (!device.attached || !domain) return go(s);
    const stays = s.devices.some((it) => it.attached && it.name !== dev && it.config.group === config.group);
    const locked = hold(s, by, 'locks', setOf(device));
    if (stays) return go(point(locked, device, domain, false));
    const state = hold(hold(locked, by, 'reserves', domain.space), by, 'locks', groupOf(device));
    return go(point(state, device, undefined, false), [unreserving(dev, domain)]);
  });
const unreserving = (dev: Handle, domain: Domain): Part =>
  part('gives back', (s, by) => {
    if (written(s, by, domain.space)) return 'waits';
    const free = drop(drop(s, by, 'reserves', domain.space), by, 'locks', groupOf(deviceNamed(s, dev)));
    return abandoned(free, by, domain);
  });
export const detachParts = (c: Do<'vfio_detach'>): readonly Part[] => deviceCall(c.dev, () => [leaving(c.dev), ended]);
const ended = part('is done', (s) => end(s, OK));
