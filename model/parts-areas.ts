/**
 * The smaller steps of what makes and takes away areas. While one is busy, UNMAP over it is EBUSY, MAP over it EEXIST,
 * and COPY of it ENOENT; devices reach it from when its domains are filled until they are emptied.
 */

import { entered, laid, mapping, pieces, UNCHOSEN, uncopied, unfilled, unlent, unplaced } from './areas.ts';
import { type By, isHeld } from './holds.ts';
import { GONE, home, ioasNamed, objectNamed, showHex } from './names.ts';
import { swap } from './outcome.ts';
import { drop, end, go, hold, type Part, part, refuse, whole, written } from './part.ts';
import type { Area, Busy, Bytes, Do, Ioas, Iova, Space, State } from './spec.ts';
import { lowest, removed, unasked } from './unmap.ts';

/** An ioctl keeps its context, and the objects that it has looked up. */
export const using = (s: State, by: By, ...objects: readonly object[]): State =>
  objects.reduce<State>((state, it) => hold(state, by, 'uses', it), s);

const spaceOf = (s: State, space: Space): Ioas => home(s, space, true);
/** Of who is yet to place them. */
const inHand = (s: State, by: By): readonly Area[] => s.holds.find((it) => it.by === by && it.how === 'has')!.areas!;

/** MAP and MAP_FILE: looked up · lent by the exporter, who may revoke it from then on · placed · filled · known. */
export const mapParts = (c: Do<'ioas_map' | 'ioas_map_file'>): readonly Part[] => [
  part('looks up', (s, by) => {
    const ioas = ioasNamed(s, c.ioas);
    const area = mapping(s, ioas, c);
    if ('err' in area) return refuse(s, area.err);
    if (c.do === 'ioas_map' && isHeld(s, c.mem, 'removes', by)) return refuse(s, 'EBADF');
    const { space } = ioas;
    const lent = part('is lent', (now, by) => {
      const refusal = unlent(now, area.source);
      if (refusal) return refuse(now, refusal.err);
      return go(hold(drop(now, by, 'uses', area.source), by, 'has', space, { areas: [area] }));
    });
    return go(using(s, by, space, space.context, area.source), [lent, placing(space, c.iova)]);
  }),
];

/** COPY: looked up · the pages of the source · the destination · placed · filled, one piece after the other · known. */
export const copyParts = (c: Do<'ioas_copy'>): readonly Part[] => [
  part('looks up', (s, by) => {
    const refusal = uncopied(ioasNamed(s, c.src), ioasNamed(s, c.dst), c);
    if (refusal) return refuse(s, refusal.err);
    const [src, dst] = [ioasNamed(s, c.src).space, objectNamed(s, c.dst)!];
    if (src.context !== dst.context) return refuse(s, 'ENOENT');
    const take = part('takes the pages', (now, by) => {
      if (written(now, by, src)) return 'waits';
      const areas = pieces(spaceOf(now, src), c);
      if ('err' in areas) return refuse(now, areas.err);
      return go(hold(drop(now, by, 'uses', src), by, 'has', src, { areas }));
    });
    const find = part('finds the destination', (now, by) => {
      const ioas = dst.is === 'ioas' ? spaceOf(now, dst) : GONE;
      if (ioas === GONE) return refuse(now, 'ENOENT');
      return go(using(now, by, dst), [placing(ioas.space, c.dst_iova)]);
    });
    return go(using(s, by, src, dst.context), [take, find]);
  }),
];

/** Some areas of a space become something else, or nothing. */
const revise = (s: State, space: Space, which: readonly Iova[], to: (area: Area) => readonly Area[]): State => {
  const ioas = spaceOf(s, space);
  const areas = ioas.areas.flatMap((area) => (which.includes(area.iova) ? to(area) : [area]));
  return { ...s, ioases: swap(s.ioases, ioas, { ...ioas, areas }) };
};
const mark = (s: State, space: Space, which: readonly Iova[], busy: Busy): State =>
  revise(s, space, which, (area) => [{ ...area, busy }]);
const unmapped = (area: Area): Area => ({ ...area, busy: 'unmapped' });

const placing = (space: Space, fixed: Iova | undefined): Part =>
  part('places', (s, by, { iova }) => {
    if (written(s, by, space)) return 'waits';
    const ioas = spaceOf(s, space);
    const areas = laid(inHand(s, by), fixed ?? iova ?? 0n);
    const refused = unplaced(s, ioas, areas, fixed, iova);
    if (refused === UNCHOSEN) return go(s, [untold(space)]);
    if (refused) return whole(refused, s);
    const iovas = areas.map((area) => area.iova);
    const fill = iovas.map((_, i) => filling(space, iovas, i));
    const placed = entered(s, ioas, areas.map(unmapped));
    return go(drop(placed, by, 'has'), [...fill, publishing(space, iovas)]);
  });

/** Where nobody is told where it was placed, it cannot be filled. */
const untold = (space: Space): Part =>
  part('fills it somewhere', (s, by) => {
    if (written(s, by, space)) return 'waits';
    const refusal = unfilled(s, spaceOf(s, space), inHand(s, by));
    return refusal ? refuse(s, refusal.err) : UNCHOSEN;
  });

/** Under domains_rwsem, which stays until all are known. */
const filling = (space: Space, iovas: readonly Iova[], i: number): Part =>
  part(`fills ${showHex(iovas[i]!)}`, (s, by) => {
    if (written(s, by, space)) return 'waits';
    const ioas = spaceOf(s, space);
    const areas = ioas.areas.filter(({ iova }) => iova === iovas[i]);
    const refusal = unfilled(s, ioas, areas);
    const undo = part('gives up', (now) => go(revise(now, space, iovas, () => [])));
    if (refusal) return refuse(mark(s, space, iovas, 'unmapped'), refusal.err, [undo]);
    const held = i === 0 ? hold(s, by, 'reads', space) : s;
    return go(mark(held, space, [iovas[i]!], 'mapped'));
  });

const publishing = (space: Space, iovas: readonly Iova[]): Part =>
  part('is known', (s, by) => end(drop(mark(s, space, iovas, undefined), by, 'reads'), { ok: { iova: iovas[0]! } }));

/** UNMAP: looked up; then each area, the lowest first: taken · out of its domains · gone. */
export const unmapParts = (c: Do<'ioas_unmap'>): readonly Part[] => [
  part('looks up', (s, by) => {
    const ioas = ioasNamed(s, c.ioas);
    const refusal = unasked(ioas, c);
    if (refusal) return refuse(s, refusal.err);
    const { space } = ioas;
    return go(using(s, by, space, space.context), [taking(c, space, c.iova, 0n)]);
  }),
];

const taking = (c: Do<'ioas_unmap'>, space: Space, from: Iova, bytes: Bytes): Part => {
  // What it will answer is part of how far it has come.
  const after = bytes > 0n ? `, after ${showHex(bytes)} bytes` : '';
  return part(`takes from ${showHex(from)} on${after}`, (s, by) => {
    if (written(s, by, space)) return 'waits';
    const ioas = spaceOf(s, space);
    const area = lowest(ioas, c, from);
    const state = s.holds.some((it) => it.by === by && it.how === 'reads') ? s : hold(s, by, 'reads', space);
    if (area === undefined) return end(drop(state, by, 'reads'), removed(c, bytes));
    if ('err' in area) return refuse(drop(state, by, 'reads'), area.err);
    const { iova, length, live } = area;
    const empty = part(`empties ${showHex(iova)}`, (now) => go(mark(now, space, [iova], 'unmapped')));
    const rest = taking(c, space, iova + length, bytes + length);
    const remove = part(`removes ${showHex(iova)}${after}`, (now) =>
      go(
        revise(now, space, [iova], () => []),
        [rest],
      ),
    );
    return go(mark(state, space, [iova], 'mapped'), live && ioas.domains.length > 0 ? [empty, remove] : [remove]);
  });
};
