/** Areas: how memory is mapped, and how areas are copied. */

import { revoked } from './buffers.ts';
import { alignment, ceil, clash, END, higher, lower, MAX, meeting, misplaced } from './iova.ts';
import { CLOSED, GONE, home, inUserSpace, ioasNamed, NOTHING, sourceNamed } from './names.ts';
import { first, type Refusal, swap, total } from './outcome.ts';
import type { Area, Busy, Bytes, Do, Ioas, Iova, Outcome, Source, Space, State } from './spec.ts';

/** The flags that `iova` and `prot` stand for: fixed, writeable, readable. */
const SPOKEN = 7n;
/** Where user memory begins: some multiple of 64 MiB in the lower half of the address space. */
const USER = 0x7f00_0000_0000n;

/** The byte of its file, or of user space, that an area begins with: an automatic IOVA is aligned like it. */
export const addressOf = ({ source, offset }: Area): Bytes => offset - source.base + (inUserSpace(source) ? USER : 0n);

type Making = Do<'ioas_map' | 'ioas_map_file' | 'ioas_copy'>;
/** How all ways to make an area begin: nothing is looked up yet. */
const malformed = ({ flags = 0n, prot }: Making, ...values: readonly (Bytes | undefined)[]): Refusal | undefined =>
  first([(flags & ~SPOKEN) !== 0n, 'EOPNOTSUPP'], [values.includes(MAX), 'EOVERFLOW'], [prot === '', 'EINVAL']);

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

export const UNCHOSEN = { refused: 'no IOVA was chosen, though there is room' } as const;
/**
 * Enters areas back to back at a fixed IOVA, or where the kernel chose: all of them, or none. They are being set up
 * then. Of what cannot be filled nobody is told where it was.
 */
export const place = (s: State, ioas: Ioas, pieces: readonly Area[], fixed?: Iova, choice?: Iova): Outcome => {
  const [start, length, align] = [fixed ?? choice ?? 0n, total(pieces), alignment(s, ioas)];
  const at = (i: number): Iova => start + total(pieces.slice(0, i));
  const laid = pieces.map((piece, i): Area => ({ ...piece, iova: at(i), busy: 'unmapped' }));
  const unfit = ({ prot, writable, offset }: Area): Refusal | undefined =>
    first([prot.includes('w') && !writable, 'EPERM'], [offset % align !== 0n, 'EINVAL']);
  const index = ioas.areas.findLastIndex(({ iova }) => iova < start) + 1;
  const ioases = swap(s.ioases, ioas, { ...ioas, areas: ioas.areas.toSpliced(index, 0, ...laid) });
  const unchosen = (fixed ?? choice) === undefined && (unfilled(s, ioas, laid) ?? UNCHOSEN);
  return (
    first([length % align !== 0n, 'EINVAL']) ??
    (fixed === undefined ? misplaced(s, ioas, addressOf(laid[0]!), length, choice) : clash(s, ioas, fixed, length)) ??
    laid.map(unfit).find(Boolean) ??
    (unchosen || { state: { ...s, ioases }, ok: { iova: start } })
  );
};

/** Why the domains of an IOAS, if it has any, cannot be filled with these areas. */
export const unfilled = (s: State, ioas: Ioas, areas: readonly Area[]): Refusal | undefined =>
  ioas.domains.length > 0 ? areas.map((area) => unfillable(s, area, alignment(s, ioas))).find(Boolean) : undefined;

/** Some areas of a space become something else, or nothing. */
export const revise = (s: State, space: Space, which: readonly Iova[], to: (area: Area) => readonly Area[]): State => {
  const ioas = home(s, space, true);
  const areas = ioas.areas.flatMap((area) => (which.includes(area.iova) ? to(area) : [area]));
  return { ...s, ioases: swap(s.ioases, ioas, { ...ioas, areas }) };
};
export const mark = (s: State, space: Space, which: readonly Iova[], busy: Busy): State =>
  revise(s, space, which, (area) => [{ ...area, busy }]);

/** Placed, filled and known at once. */
const lay = (s: State, ioas: Ioas, pieces: readonly Area[], fixed?: Iova, choice?: Iova): Outcome => {
  const placed = place(s, ioas, pieces, fixed, choice);
  if (!('ok' in placed)) return placed;
  const areas = home(placed.state, ioas.space, true).areas.filter((area) => !ioas.areas.includes(area));
  const iovas = areas.map(({ iova }) => iova);
  return unfilled(s, ioas, areas) ?? { ...placed, state: mark(placed.state, ioas.space, iovas, undefined) };
};

/** What is to be mapped, as an area that is nowhere yet. */
export const mapping = (s: State, c: Do<'ioas_map' | 'ioas_map_file'>): Area | Refusal => {
  const { length, prot } = c;
  const user = c.do === 'ioas_map';
  const [ioas, source] = [ioasNamed(s, c.ioas), sourceNamed(s, user ? c.mem : c.fd, user)];
  const [from, start] = user ? [(USER + c.offset) % END, ((USER + c.offset) % END) - USER] : [c.start, c.start];
  const small = source.is === 'dmabuf' && start + length > source.length;
  return (
    first([ioas === CLOSED || (user && source === NOTHING), 'EBADF']) ??
    malformed(c, c.iova, length) ??
    first([ioas === GONE, 'ENOENT'], [length === 0n, 'EINVAL']) ??
    first([from + length > (user ? MAX : END), 'EOVERFLOW'], [source === NOTHING, 'EBADF']) ??
    first([small || length > MAX - s.machine.pageSize, 'EINVAL']) ?? {
      ...{ iova: 0n, length, prot, source, offset: source.base + start, writable: prot.includes('w'), live: true },
    }
  );
};

/** What the exporter says of a buffer that is to be mapped. */
export const unlent = (s: State, source: Source): Refusal | undefined =>
  source.is === 'dmabuf' ? first([revoked(s, source), 'ENODEV'], [source.ranges.length > 1, 'EOPNOTSUPP']) : undefined;

/** Of a dma-buf, a wrong size is told before its state, and its state before anything about the place. */
export const map = (s: State, c: Do<'ioas_map' | 'ioas_map_file'>, choice?: Iova): Outcome => {
  const area = mapping(s, c);
  return 'err' in area ? area : (unlent(s, area.source) ?? lay(s, ioasNamed(s, c.ioas), [area], c.iova, choice));
};

/** What is wrong with a copy before anybody looks for the areas. */
export const uncopied = (s: State, c: Do<'ioas_copy'>): Refusal | undefined => {
  const [src, dst] = [ioasNamed(s, c.src), ioasNamed(s, c.dst)];
  return (
    first([src === CLOSED || dst === CLOSED, 'EBADF']) ??
    malformed(c, c.length, c.src_iova, c.dst_iova) ??
    first([src === GONE, 'ENOENT'], [c.length === 0n, 'EINVAL'], [c.src_iova + c.length > END, 'EOVERFLOW'])
  );
};

/** The areas, or parts of areas, of a range of a space; but not where there is none, or one is busy. */
export const pieces = ({ areas }: Ioas, c: Do<'ioas_copy'>): readonly Area[] | Refusal => {
  const end = c.src_iova + c.length;
  const covered = areas.filter((area) => !area.busy && meeting([c.src_iova, end - 1n])(area));
  const found = covered.map((area): Area => {
    const [from, to] = [higher(area.iova, c.src_iova), lower(area.iova + area.length, end)];
    return { ...area, length: to - from, offset: area.offset + from - area.iova, prot: c.prot };
  });
  return total(found) < c.length ? { err: 'ENOENT' } : found;
};

/** A copy may take any part that is covered. Of a dead area it is as dead. */
export const copy = (s: State, c: Do<'ioas_copy'>, choice?: Iova): Outcome => {
  const refusal = uncopied(s, c);
  const [src, dst] = [ioasNamed(s, c.src), ioasNamed(s, c.dst)];
  const found = refusal ?? pieces(src, c);
  if ('err' in found) return found;
  return src.space.context === dst.space.context ? lay(s, dst, found, c.dst_iova, choice) : { err: 'ENOENT' };
};
