/** Areas: how memory is mapped, and how areas are copied. */

import { revoked } from './buffers.ts';
import { alignment, ceil, clash, END, higher, lower, MAX, misplaced, placeOf } from './iova.ts';
import { CLOSED, GONE, inUserSpace, ioasNamed, NOTHING, sourceNamed } from './names.ts';
import { first, firstOf, type Refusal, type Refused, swap, total } from './outcome.ts';
import type { Area, Bytes, Do, Ioas, Iova, Outcome, Source, State } from './spec.ts';

/** The flags that `iova` and `prot` stand for: fixed, writeable, readable; no others are below them. */
const SPOKEN = 7n;
/** Where user memory begins: some multiple of 64 MiB in the lower half of the address space. */
const USER = 0x7f00_0000_0000n;

/** The byte of its file, or of user space, that an area begins with: an automatic IOVA is aligned like it. */
export const addressOf = ({ source, offset }: Area): Bytes => offset - source.base + (inUserSpace(source) ? USER : 0n);

type Making = Do<'ioas_map' | 'ioas_map_file' | 'ioas_copy'>;
/** How all ways to make an area begin: nothing is looked up yet. */
const malformed = ({ flags = 0n, prot }: Making, a?: Bytes, b?: Bytes, c?: Bytes): Refusal | undefined =>
  first([flags > SPOKEN, 'EOPNOTSUPP'], [a === MAX || b === MAX || c === MAX, 'EOVERFLOW'], [prot === '', 'EINVAL']);

/** Why a domain cannot be filled with an area: its memory is not there, or cannot be had; or it is made of less. */
export const unfillable = (s: State, area: Area, align: Bytes): Refusal | undefined => {
  const { source, offset, iova, length, live } = area;
  const ends = offset + length;
  const missing = source.is === 'memory' && (offset < 0n || ends > ceil(source.length, s.machine.pageSize));
  return (
    first([missing || source.is === 'mapping', 'EFAULT'], [source.is === 'memfd' && ends > source.length, 'EINVAL']) ??
    first([live && (iova | length) % align !== 0n, 'EINVAL'])
  );
};

/** Why the domains of an IOAS, if it has any, cannot be filled with these areas. */
export const unfilled = (s: State, ioas: Ioas, areas: readonly Area[]): Refusal | undefined => {
  const align = alignment(s, ioas);
  return ioas.domains.length > 0 ? firstOf(areas, (area) => unfillable(s, area, align)) : undefined;
};

export const UNCHOSEN = { refused: 'no IOVA was chosen, though there is room' } as const;
/**
 * Why areas cannot go, back to back, to a fixed IOVA, or where the kernel chose. Of what cannot be filled nobody is
 * told where it was.
 */
export const unplaced = (s: State, ioas: Ioas, areas: readonly Area[], fixed?: Iova, choice?: Iova): Refused => {
  const length = total(areas);
  const align = alignment(s, ioas);
  const unfit = ({ prot, writable, offset }: Area): Refusal | undefined =>
    first([prot.includes('w') && !writable, 'EPERM'], [offset % align !== 0n, 'EINVAL']);
  return (
    first([length % align !== 0n, 'EINVAL']) ??
    (fixed === undefined ? misplaced(s, ioas, addressOf(areas[0]!), length, choice) : clash(s, ioas, fixed, length)) ??
    firstOf(areas, unfit) ??
    ((fixed ?? choice) === undefined ? (unfilled(s, ioas, areas) ?? UNCHOSEN) : undefined)
  );
};

/** Pieces that were cut out of somewhere, from `start` on. */
export const laid = (pieces: readonly Area[], start: Iova): readonly Area[] =>
  pieces.map((piece) => ({ ...piece, iova: start + piece.iova }));
/** They are in an IOAS, all of them. */
export const entered = (s: State, ioas: Ioas, areas: readonly Area[]): State => {
  const place = placeOf(ioas.areas, areas[0]!.iova);
  return { ...s, ioases: swap(s.ioases, ioas, { ...ioas, areas: ioas.areas.toSpliced(place, 0, ...areas) }) };
};

/** Placed, filled and known at once. */
const lay = (s: State, ioas: Ioas, pieces: readonly Area[], fixed?: Iova, choice?: Iova): Outcome => {
  const refused = unplaced(s, ioas, pieces, fixed, choice);
  if (refused) return refused;
  const iova = (fixed ?? choice)!;
  const areas = laid(pieces, iova);
  return unfilled(s, ioas, areas) ?? { state: entered(s, ioas, areas), ok: { iova } };
};

/** What is to be mapped, as an area that is nowhere yet. */
export const mapping = (s: State, ioas: Ioas, c: Do<'ioas_map' | 'ioas_map_file'>): Area | Refusal => {
  const { length, prot } = c;
  const user = c.do === 'ioas_map';
  const source = sourceNamed(s, user ? c.mem : c.fd, user);
  const from = user ? (USER + c.offset) % END : c.start;
  const offset = source.base + (user ? from - USER : from);
  const small = source.is === 'dmabuf' && from + length > source.length;
  const refusal =
    first([ioas === CLOSED || (user && source === NOTHING), 'EBADF']) ??
    malformed(c, c.iova, length) ??
    first([ioas === GONE, 'ENOENT'], [length === 0n, 'EINVAL']) ??
    first([from + length > (user ? MAX : END), 'EOVERFLOW'], [source === NOTHING, 'EBADF']) ??
    first([small || length > MAX - s.machine.pageSize, 'EINVAL']);
  return refusal ?? { iova: 0n, length, prot, source, offset, writable: prot.includes('w'), live: true };
};

/** What the exporter says of a buffer that is to be mapped. */
export const unlent = (s: State, source: Source): Refusal | undefined =>
  source.is === 'dmabuf' ? first([revoked(s, source), 'ENODEV'], [source.ranges.length > 1, 'EOPNOTSUPP']) : undefined;

/** Of a dma-buf, a wrong size is told before its state, and its state before anything about the place. */
export const map = (s: State, c: Do<'ioas_map' | 'ioas_map_file'>, choice?: Iova): Outcome => {
  const ioas = ioasNamed(s, c.ioas);
  const area = mapping(s, ioas, c);
  return 'err' in area ? area : (unlent(s, area.source) ?? lay(s, ioas, [area], c.iova, choice));
};

/** What is wrong with a copy before anybody looks for the areas. */
export const uncopied = (src: Ioas, dst: Ioas, c: Do<'ioas_copy'>): Refusal | undefined =>
  first([src === CLOSED || dst === CLOSED, 'EBADF']) ??
  malformed(c, c.length, c.src_iova, c.dst_iova) ??
  first([src === GONE, 'ENOENT'], [c.length === 0n, 'EINVAL'], [c.src_iova + c.length > END, 'EOVERFLOW']);

/**
 * The areas, or parts of areas, of a range of a space, as if that began at 0; but not where there is none, or one is
 * busy.
 */
export const pieces = ({ areas }: Ioas, c: Do<'ioas_copy'>): readonly Area[] | Refusal => {
  const start = c.src_iova;
  const end = start + c.length;
  const covered = areas.slice(placeOf(areas, start), areas.findLastIndex(({ iova }) => iova < end) + 1);
  const found = covered.map((area): Area => {
    const from = higher(area.iova, start);
    const to = lower(area.iova + area.length, end);
    return { ...area, iova: from - start, length: to - from, offset: area.offset + from - area.iova, prot: c.prot };
  });
  return covered.some(({ busy }) => busy) || total(found) < c.length ? { err: 'ENOENT' } : found;
};

/** A copy may take any part that is covered. Of a dead area it is as dead. */
export const copy = (s: State, c: Do<'ioas_copy'>, choice?: Iova): Outcome => {
  const src = ioasNamed(s, c.src);
  const dst = ioasNamed(s, c.dst);
  const found = uncopied(src, dst, c) ?? pieces(src, c);
  if ('err' in found) return found;
  return src.space.context === dst.space.context ? lay(s, dst, found, c.dst_iova, choice) : { err: 'ENOENT' };
};
