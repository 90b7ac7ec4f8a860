/** The smaller steps of single buffers and of mappings: born, revoked for good, mapped, touched, and forked. */

import { born, bufferOf, faults, memattr, ofBuffer, revoked } from './buffers.ts';
import { type By, isHeld } from './holds.ts';
import { fork, mappable, mappableBar, mapSource, peek, unmapPages } from './memory.ts';
import { deviceNamed, inUserSpace, mappingNamed, sourceNamed, whenBound } from './names.ts';
import { mapOf } from './observe.ts';
import { done, give } from './outcome.ts';
import { drop, end, go, hold, OK, type Part, part, refuse, type Stepped, taken, whole, written } from './part.ts';
import { using } from './parts-areas.ts';
import { deviceCall, locking, memoryOf, telling } from './parts-revoke.ts';
import type { Device, Do, Mapping, Named, Source, State } from './spec.ts';

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

/** The file is held · mapped; where that is a buffer of its own, it is born under memory_lock. */
export const barMmapParts = (c: Do<'bar_mmap'>): readonly Part[] => [
  part('has the file', (s, by) => {
    const asked = whenBound(s, c.dev, (now, device) => {
      const source = mappableBar(now, device, c);
      return 'err' in source ? source : done(now);
    });
    if (!('ok' in asked)) return whole(asked, s);
    return go(hold(asked.state, by, 'inherits', deviceNamed(s, c.dev).opening!), [mappingBar(c)]);
  }),
];
const mappingBar = (c: Do<'bar_mmap'>): Part =>
  part('maps', (s, by) => {
    const [device, { mapsBuffers }] = [deviceNamed(s, c.dev), s.machine];
    if (mapsBuffers && taken(s, by, memoryOf(c.dev))) return 'waits';
    const source = mappableBar(s, device, c) as Source;
    const { state } = mapSource(born(s, device, source), c.as, source) as Stepped;
    return end(mapsBuffers ? hold(state, by, 'locks', memoryOf(c.dev)) : state, OK);
  });
/** Whether the buffer is usable is asked before it is mapped, and not again. */
export const fdMmapParts = (c: Do<'fd_mmap'>): readonly Part[] => [
  part('asks', (s, by) => {
    const source = mappable(s, c);
    if ('err' in source) return refuse(s, source.err);
    return go(using(s, by, source.of!), [part('maps', (now) => whole(mapSource(now, c.as, source), now))]);
  }),
];

/** Resolved · whose it is, and how it is treated; or memory_lock · revoked, if it was not before · unlocked. */
export const ofBufferParts = (c: Do<'vfio_dmabuf_revoke' | 'vfio_dmabuf_memattr'>): readonly Part[] => [
  part('looks up', (s, by, free) => {
    const able = c.do === 'vfio_dmabuf_memattr' ? memattr(s, c) : ofBuffer(s, c, (it) => done(it));
    if ('err' in able && able.err !== 'ENODEV' && able.err !== 'ENOENT') return refuse(s, able.err);
    const buffer = sourceNamed(s, c.fd);
    const find = part('finds it', (now, by) => go(using(now, by, buffer)));
    const act = part('revokes it', (now, by) => {
      if (now.takenBack.includes(buffer)) return refuse(now, 'EBADFD');
      const [was, takenBack] = [revoked(now, buffer), [...now.takenBack, buffer]];
      return end({ ...(was ? now : hold(now, by, 'keeps', buffer)), takenBack }, OK, was ? [] : telling(now, buffer));
    });
    const say = part('answers', (now) => ('err' in able ? refuse(now, able.err) : end(now, OK)));
    const then = 'err' in able || c.do === 'vfio_dmabuf_memattr' ? [say] : [locking(c.dev, false), act];
    return deviceCall(c.dev, () => [find, ...then])[0]!.take(s, by, free);
  }),
];

/** Resolved · unmapped, whatever is left. All of a mapping loses its name first, though a child may still get it. */
export const munmapParts = (c: Do<'munmap'>): readonly Part[] => [
  part('has an address', (s, by) => {
    const [it, outcome] = [found(s, by, c), unmapPages(s, c)];
    if (!it || !('ok' in outcome)) return it ? whole(outcome, s) : refuse(s, 'EBADF');
    const { offset = 0n, length = it.source.length } = c;
    const all = offset === 0n && length > it.source.length - s.machine.pageSize;
    const unmap = part('unmaps', (now, by) => {
      const unmapped = unmapPages(now, c);
      return end(drop('ok' in unmapped ? unmapped.state : now, by, 'removes'), OK);
    });
    return go(all ? hold(s, by, 'removes', mapOf(c.map, c.process)) : s, [unmap]);
  }),
];
const found = (s: State, by: By, { map, process }: Do<'munmap' | 'peek'>): Mapping | undefined =>
  isHeld(s, mapOf(map, process), 'removes', by) ? undefined : mappingNamed(s, map, process);

/**
 * An address, which is not looked up again; a touch of it finds an entry, or faults: then it waits for memory_lock, and
 * may be found holding it. The entry that a fault makes may be gone before the touch comes round.
 */
export const peekParts = (c: Do<'peek'>): readonly Part[] => [
  part('has an address', (s, by) => (found(s, by, c) ? go(s) : refuse(s, 'EBADF'))),
  touching(c),
];
const touching = (c: Do<'peek'>, again = false): Part =>
  part(again ? 'touches again' : 'touches', (s, by, { hit }) => {
    const it = mappingNamed(s, c.map, c.process);
    if (!it) return refuse(s, 'EFAULT');
    const outcome = peek(s, c);
    if (!('ok' in outcome)) return whole(outcome, s);
    const buffer = s.machine.mapsBuffers ? (it.source.of ?? it.source) : undefined;
    const device = s.devices.find(({ holder }) => holder !== undefined && holder === it.source.owner);
    if (hit && buffer && isHeld(s, buffer, 'keeps')) {
      const there = peek({ ...s, takenBack: [], devices: s.devices.map(awake) }, c);
      return whole('ok' in there ? { ...there, state: s } : there, s);
    }
    if (!device || (buffer && revoked(s, buffer))) return whole(outcome, s);
    const gone = hit === false && outcome.ok.value !== undefined;
    if (gone && again) return 'waits';
    if (!written(s, by, memoryOf(device.name)) && !isHeld(s, memoryOf(device.name), 'enters', by)) {
      const held = hold(s, by, 'reads', memoryOf(device.name));
      const unlock = part('unlocks', (now, by) => go(drop(now, by, 'reads')));
      return gone ? go(held, [unlock, touching(c, true)]) : end(held, { ok: outcome.ok });
    }
    const there = hit && !faults(s, it.source) && (buffer !== undefined || !written(s, by, memoryOf(device.name)));
    return there ? whole(outcome, s) : 'waits';
  });
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
