/** The smaller steps of the kernel's test devices: each is bound and attached by one call, and leaves by another. */

import type { Handle } from '../trace/command.ts';
import { isHeld } from './holds.ts';
import { mockDestroy, mockObjectOf, mockOn } from './mock.ts';
import { CLOSED, contextNamed, deviceNamed, GONE, home, objectNamed } from './names.ts';
import { give } from './outcome.ts';
import { end, go, hold, OK, type Part, part, refuse, whole } from './part.ts';
import { using } from './parts-areas.ts';
import { attaching } from './parts-attach.ts';
import { leaving } from './parts-domains.ts';
import type { Do } from './spec.ts';

/** Bound · found · attached, as any device · it and its domain have names. Where that fails, it is unbound again. */
export const mockDomainParts = (c: Do<'mock_domain'>): readonly Part[] => [
  part('binds', (s, by) => {
    const object = objectNamed(s, c.ioas);
    if (!object || home(s, object) === CLOSED) return refuse(s, 'EBADF');
    const find = part(`finds ${c.ioas}`, (now, by) => {
      const there = !isHeld(now, object, 'removes') && home(now, object, true) !== GONE;
      return there ? go(using(now, by, object), [attaching(c.dev, object)]) : refuse(now, 'ENOENT');
    });
    const devices = [...s.devices, mockOn(s, c.dev, object)];
    return go(using({ ...s, devices }, by, object.context), [orUnbinds(find, c.dev), naming(c)]);
  }),
];
const naming = ({ dev, as }: Do<'mock_domain'>): Part =>
  part('is known', (s) => {
    const { context, domain } = deviceNamed(s, dev);
    return end(give(give(s, dev, context), as, domain), OK);
  });

/** A step, and those that it leads to; a refusal unbinds the device in the end. */
const orUnbinds = (it: Part, dev: Handle): Part =>
  part(it.name, (s, by, free) => {
    const did = it.take(s, by, free);
    if (did === 'waits' || 'refused' in did) return did;
    const { answer, next = [] } = did;
    if (answer && 'err' in answer) return { ...did, next: [...next, unbinding(dev)] };
    return { ...did, next: next.map((each) => orUnbinds(each, dev)) };
  });
const unbinding = (dev: Handle): Part =>
  part(`unbinds ${dev}`, (s) => go({ ...s, devices: s.devices.filter(({ name }) => name !== dev) }));

/** Nobody finds it any more · it leaves, as any device · it is unbound. */
export const mockDestroyParts = (c: Do<'mock_domain_destroy'>): readonly Part[] => [
  part('looks up', (s, by) => {
    const outcome = mockDestroy(s, c);
    if (!('ok' in outcome)) return whole(outcome, s);
    const state = using(hold(s, by, 'removes', mockObjectOf(c.dev)), by, contextNamed(s, c.dev)!);
    return end(state, OK, [leaving(c.dev), unbinding(c.dev)]);
  }),
];
