/** The smaller steps of a bind: the descriptor of the device is held · dev_set · the context is held · bound. */

import { bindTo } from './devices.ts';
import { contextNamed, deviceNamed } from './names.ts';
import { go, hold, type Part, part, refuse, taken, whole } from './part.ts';
import { using } from './parts-areas.ts';
import { setOf } from './parts-revoke.ts';
import type { Context, Do, Opening } from './spec.ts';

export const bindParts = (c: Do<'vfio_bind'>): readonly Part[] => [
  part('enters the device', (s, by) => {
    const { opening } = deviceNamed(s, c.dev);
    return opening ? go(using(s, by, opening), [locking(c, opening)]) : refuse(s, 'EBADF');
  }),
];
/** Whoever closes the context from then on has closed a descriptor, and no more. */
const locking = (c: Do<'vfio_bind'>, opening: Opening): Part =>
  part('finds the context', (s, by) => {
    const device = deviceNamed(s, c.dev);
    if (taken(s, by, setOf(device))) return 'waits';
    if (device.holder === opening) return refuse(s, 'EINVAL');
    const context = contextNamed(s, c.ctx);
    if (!context) return refuse(s, 'EBADF');
    return go(using(hold(s, by, 'locks', setOf(device)), by, context), [binding(c, opening, context)]);
  });
const binding = ({ dev }: Do<'vfio_bind'>, opening: Opening, context: Context): Part =>
  part('binds', (s) => whole(bindTo(s, dev, opening, context), s));
