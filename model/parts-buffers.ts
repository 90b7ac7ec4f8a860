/** The smaller steps of single buffers and of mappings: born, revoked for good, mapped, touched, and forked. */

import { born, bufferOf, faults, ofBuffer, revoked } from './buffers.ts';
import { isHeld } from './holds.ts';
import { barMmap, fork, mappable, mapSource, peek } from './memory.ts';
import { deviceNamed, inUserSpace, mappingNamed, sourceNamed } from './names.ts';
import { done, give } from './outcome.ts';
import { drop, end, go, hold, OK, type Part, part, refuse, taken, whole, written } from './part.ts';
import { using } from './parts-areas.ts';
import { deviceCall, locking, memoryOf, telling } from './parts-revoke.ts';
import type { Device, Do, Named, State } from './spec.ts';

/** Export: checked · born, on the list · unlocked · the descriptor. */
export const exportParts = (c: Do<'vfio_export'>): readonly Part[] =>
  deviceCall(c.dev, (s, device) => {
    const checked = bufferOf(s, device, c);
    if ('err' in checked) return refuse(s, checked.err);
    const listed = part('is born', (now, by) => {
      if (taken(now, by, memoryOf(c.dev))) return 'waits';
      const buffer = { ...checked, nth: deviceNamed(now, c.dev).exports };
      const state = using(born(now, deviceNamed(now, c.dev), buffer), by, buffer);
      const unlocked = part('unlocks', (later, by) => go(drop(later, by, 'locks', memoryOf(c.dev))));
      const named = part('is known', (later) => end(give(later, c.as, buffer), OK));
      return go(hold(state, by, 'locks', memoryOf(c.dev)), [unlocked, named]);
    });
    return [listed];
  });

/** Where a mapping of a BAR is of a buffer of its own, that is born under memory_lock. */
export const barMmapParts = (c: Do<'bar_mmap'>): readonly Part[] => [
  part('maps', (s, by) => {
    if (!s.machine.mapsBuffers) return whole(barMmap(s, c), s);
    const mapped = barMmap(s, c);
    if (!('ok' in mapped)) return whole(mapped, s);
    return taken(s, by, memoryOf(c.dev)) ? 'waits' : end(hold(mapped.state, by, 'locks', memoryOf(c.dev)), OK);
  }),
];
/** Whether the buffer is usable is asked before it is mapped, and not again. */
export const fdMmapParts = (c: Do<'fd_mmap'>): readonly Part[] => [
  part('asks', (s, by) => {
    const source = mappable(s, c);
    if ('err' in source) return refuse(s, source.err);
    return go(using(s, by, source.of!), [part('maps', (now) => whole(mapSource(now, c.as, source), now))]);
  }),
];

/** Resolved · memory_lock · revoked, if it was not before · unlocked. */
export const forGoodParts = (c: Do<'vfio_dmabuf_revoke'>): readonly Part[] => [
  part('looks up', (s, by, free) => {
    const able = ofBuffer(s, c, (it) => done(it));
    if ('err' in able) return refuse(s, able.err);
    const buffer = sourceNamed(s, c.fd);
    const find = part('finds it', (now, by) => go(using(now, by, buffer)));
    const act = part('revokes it', (now, by) => {
      if (now.takenBack.includes(buffer)) return refuse(now, 'EBADFD');
      const was = revoked(now, buffer);
      const state = { ...(was ? now : hold(now, by, 'keeps', buffer)), takenBack: [...now.takenBack, buffer] };
      return end(state, OK, was ? [] : telling(now, buffer));
    });
    return deviceCall(c.dev, () => [find, locking(c.dev, false), act])[0]!.take(s, by, free);
  }),
];

/**
 * An address, which is not looked up again; a touch of it finds an entry, or faults: then it waits for memory_lock, and
 * may be found holding it.
 */
export const peekParts = (c: Do<'peek'>): readonly Part[] => [
  part('has an address', (s) => (mappingNamed(s, c.map, c.process) ? go(s) : whole(peek(s, c), s))),
  part('touches', (s, by, { hit }) => {
    const it = mappingNamed(s, c.map, c.process);
    if (!it) return refuse(s, 'EFAULT');
    const outcome = peek(s, c);
    if (!('ok' in outcome)) return whole(outcome, s);
    const buffer = s.machine.mapsBuffers ? (it.source.of ?? it.source) : undefined;
    const device = s.devices.find(({ holder }) => holder !== undefined && holder === it.source.owner);
    if (hit && buffer && isHeld(s, buffer, 'keeps')) {
      const found = peek({ ...s, takenBack: [], devices: s.devices.map(awake) }, c);
      return whole('ok' in found ? { ...found, state: s } : found, s);
    }
    if (!device || (buffer && revoked(s, buffer))) return whole(outcome, s);
    if (!written(s, by, memoryOf(device.name)) && !isHeld(s, memoryOf(device.name), 'enters', by))
      return end(hold(s, by, 'reads', memoryOf(device.name)), { ok: outcome.ok });
    const there = hit && !faults(s, it.source) && (buffer !== undefined || !written(s, by, memoryOf(device.name)));
    return there ? whole(outcome, s) : 'waits';
  }),
];
const awake = (it: Device): Device => ({ ...it, memory: true, power: 0, lowPower: undefined, lost: false });

/** Fork: the child has every open file · it has the mappings, too · it has closed its descriptors. */
export const forkParts = (c: Do<'fork'>): readonly Part[] => [
  part('copies the descriptors', (s, by) => {
    const isFile = (it: Named | undefined): it is Named => it !== undefined && 'base' in it && !inUserSpace(it);
    const openings = s.devices.flatMap(({ opening }) => opening ?? []);
    const files = [...s.contexts, ...openings, ...[...s.handles.values()].filter(isFile)];
    return go(files.reduce<State>((state, file) => hold(state, by, 'inherits', file), s));
  }),
  part('copies the mappings', (s) => whole(fork(s, c), s)),
];
