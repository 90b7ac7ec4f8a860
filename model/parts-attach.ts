/**
 * The smaller steps of an attach: a device reserves what it needs in an IOAS, then goes there, and a domain that is new
 * is filled area by area under its eyes. One that is attached already takes its group along, when all is prepared.
 */

import type { Handle } from '../trace/command.ts';
import { unfillable } from './areas.ts';
import { automaticOf, join, unextendable } from './domains.ts';
import { isHeld } from './holds.ts';
import { alignment, claims, higher } from './iova.ts';
import { deviceNamed, GONE, home, objectNamed, showHex } from './names.ts';
import { drop, end, go, hold, OK, type Part, part, refuse, taken, whole, written } from './part.ts';
import { using } from './parts-areas.ts';
import { abandoned, domainsOf, groupOf, leaving, mutexOf, point, removal } from './parts-domains.ts';
import { deviceCall, setOf } from './parts-revoke.ts';
import type { Do, Domain, Iova, Space, State } from './spec.ts';

export const attachParts = (c: Do<'vfio_attach'>): readonly Part[] => [
  part('looks up', (s, by, free) => {
    const object = objectNamed(s, c.pt);
    if (!object) return refuse(s, 'EBADF');
    const find = part(`finds ${c.pt}`, (now, by) => {
      const device = deviceNamed(now, c.dev);
      if (taken(now, by, setOf(device))) return 'waits';
      const ioas = isHeld(now, object, 'removes') ? GONE : home(now, object, true);
      if (ioas.space.context !== device.context) return refuse(now, 'ENOENT');
      const state = using(hold(now, by, 'locks', setOf(device)), by, object);
      return go(state, [(device.attached ? replacing : attaching)(c.dev, object)]);
    });
    return deviceCall(c.dev, () => [find])[0]!.take(s, by, free);
  }),
];

/** Of the domains that a device may go to, the one that it does. */
const targetIn = (s: State, object: Space | Domain): Domain =>
  object.is === 'ioas' ? automaticOf(s, home(s, object, true)) : object;
const isNew = (s: State, { space }: Domain, domain: Domain): boolean => !home(s, space, true).domains.includes(domain);

/** Of who is attached to nothing: reserved · there · and a new domain is filled. */
export const attaching = (dev: Handle, object: Space | Domain): Part =>
  part('reserves', (s, by) => {
    const device = deviceNamed(s, dev);
    const domain = targetIn(s, object);
    const { space } = domain;
    const mutex = object.is === 'ioas' ? [mutexOf(space)] : [];
    if (taken(s, by, ...mutex, groupOf(device)) || written(s, by, space)) return 'waits';
    if ((device.domain ?? domain) !== domain) return refuse(s, 'EINVAL');
    if (claims(home(s, space, true), s.machine.reserved)) return refuse(s, 'EADDRINUSE');
    const locked = [...mutex, groupOf(device)].reduce((state, lock) => hold(state, by, 'locks', lock), s);
    return go(hold(using(locked, by, domain), by, 'reserves', space), [entering(dev, domain)]);
  });
const entering = (dev: Handle, domain: Domain): Part =>
  part('enters', (s, by) => {
    const device = deviceNamed(s, dev);
    if (domain.dirty && device.holder !== undefined) return refuse(s, 'EINVAL');
    const there = drop(point(s, device, domain, true), by, 'reserves', domain.space);
    const state = drop(there, by, 'locks', groupOf(device));
    return isNew(s, domain, domain) ? go(state, [beginning(dev, domain)]) : end(state, OK);
  });
const beginning = (dev: Handle, domain: Domain): Part =>
  part('joins', (s, by) => {
    const { space } = domain;
    if (taken(s, by, space)) return 'waits';
    const refusal = unextendable(s, home(s, space, true));
    if (refusal) return refuse(s, refusal.err, [leaving(dev)]);
    const state = hold(hold(s, by, 'locks', space), by, 'fills', domain, { filled: [0n, 0n] });
    return go(
      domainsOf(state, space, (all) => [...all, domain]),
      [filling(dev, domain, 0n)],
    );
  });
/** The next area, if there is one. Where that fails, all go again. */
const filling = (dev: Handle, domain: Domain, from: Iova): Part =>
  part(`fills from ${showHex(from)} on`, (s, by) => {
    const { space } = domain;
    const ioas = home(s, space, true);
    const area = ioas.areas.find(({ iova, busy }) => iova >= from && !busy);
    const filled = drop(s, by, 'fills', domain);
    if (!area) return end(drop(filled, by, 'locks', space), OK);
    const refusal = unfillable(s, area, higher(alignment(s, ioas), s.machine.grain));
    const gone = drop(
      domainsOf(filled, space, (all) => all.filter((it) => it !== domain)),
      by,
      'locks',
      space,
    );
    if (refusal) return refuse(gone, refusal.err, [leaving(dev)]);
    const below = area.iova + area.length;
    return go(hold(filled, by, 'fills', domain, { filled: [0n, below] }), [filling(dev, domain, below)]);
  });

/** Of who is attached: a new domain, filled · reserved there · given back here · the whole group goes · the old one. */
const replacing = (dev: Handle, object: Space | Domain): Part =>
  part('joins', (s, by) => {
    const domain = targetIn(s, object);
    const { space } = domain;
    const mutex = object.is === 'ioas' ? mutexOf(space) : undefined;
    if (!isNew(s, domain, domain)) {
      if (mutex && taken(s, by, mutex)) return 'waits';
      return go(using(mutex ? hold(s, by, 'locks', mutex) : s, by, domain), [reserving(dev, domain, false)]);
    }
    if (taken(s, by, mutexOf(space), space)) return 'waits';
    const joined = join(s, domain);
    if (!('ok' in joined)) return whole(joined, s);
    return go(hold(joined.state, by, 'locks', mutexOf(space)), [reserving(dev, domain, true)]);
  });
const reserving = (dev: Handle, to: Domain, made: boolean): Part =>
  part('reserves', (s, by) => {
    const device = deviceNamed(s, dev);
    const old = device.domain!;
    if (taken(s, by, groupOf(device)) || written(s, by, to.space)) return 'waits';
    if (old === to) return end(s, OK);
    const undo = made ? [removal(to)] : [];
    const elsewhere = old.space !== to.space;
    if (elsewhere && claims(home(s, to.space, true), s.machine.reserved)) return refuse(s, 'EADDRINUSE', undo);
    // No test device comes here, and no other tracks dirty pages.
    if (to.dirty) return refuse(s, 'EINVAL', undo);
    const state = hold(s, by, 'locks', groupOf(device));
    if (!elsewhere) return go(state, [moving(dev, to)]);
    return go(hold(state, by, 'reserves', to.space), [freeing(old.space), moving(dev, to)]);
  });
const freeing = (space: Space): Part =>
  part('gives back', (s, by) => (written(s, by, space) ? 'waits' : go(hold(s, by, 'frees', space))));
const moving = (dev: Handle, to: Domain): Part =>
  part('moves', (s, by) => {
    const device = deviceNamed(s, dev);
    const there = drop(drop(point(s, device, to, true), by, 'reserves'), by, 'frees');
    const free = drop(drop(there, by, 'locks', groupOf(device)), by, 'locks', mutexOf(to.space));
    return { ...abandoned(free, by, device.domain), answer: OK };
  });
