/** Areas: how memory is mapped, how areas are copied, and how they are unmapped, whole. */

import { revoked } from './buffers.ts';
import { alignment, ceil, clash, END, higher, lower, MAX, meeting, misplaced } from './iova.ts';
import { CLOSED, GONE, inUserSpace, ioasNamed, NOTHING, sourceNamed } from './names.ts';
import { first, type Refusal, swap, total } from './outcome.ts';
import type { Area, Bytes, Do, Ioas, Iova, Outcome, State } from './spec.ts';

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

const UNCHOSEN = { refused: 'no IOVA was chosen, though there is room' } as const;
/** Lays areas back to back at a fixed IOVA, or where the kernel chose: all of them, or none. */
const lay = (s: State, ioas: Ioas, pieces: readonly Area[], fixed?: Iova, choice?: Iova): Outcome => {
  const [start, length, align] = [fixed ?? choice ?? 0n, total(pieces), alignment(s, ioas)];
  const laid = pieces.map((piece, i): Area => ({ ...piece, iova: start + total(pieces.slice(0, i)) }));
  const unfit = ({ prot, writable, offset }: Area): Refusal | undefined =>
    first([prot.includes('w') && !writable, 'EPERM'], [offset % align !== 0n, 'EINVAL']);
  const at = ioas.areas.findLastIndex(({ iova }) => iova < start) + 1;
  const ioases = swap(s.ioases, ioas, { areas: ioas.areas.toSpliced(at, 0, ...laid) });
  return (
    first([length % align !== 0n, 'EINVAL']) ??
    (fixed === undefined ? misplaced(s, ioas, addressOf(laid[0]!), length, choice) : clash(s, ioas, fixed, length)) ??
    laid.map(unfit).find(Boolean) ??
    (ioas.domains.length > 0 ? laid.map((area) => unfillable(s, area, align)).find(Boolean) : undefined) ??
    ((fixed ?? choice) === undefined ? UNCHOSEN : { state: { ...s, ioases }, ok: { iova: start } })
  );
};

/** Of a dma-buf, a wrong size is told before its state, and its state before anything about the place. */
export const map = (s: State, c: Do<'ioas_map' | 'ioas_map_file'>, choice?: Iova): Outcome => {
  const { length, prot } = c;
  const user = c.do === 'ioas_map';
  const [ioas, source] = [ioasNamed(s, c.ioas), sourceNamed(s, user ? c.mem : c.fd, user)];
  const [from, start] = user ? [(USER + c.offset) % END, ((USER + c.offset) % END) - USER] : [c.start, c.start];
  const dmabuf = source.is === 'dmabuf';
  const whole = { source, offset: source.base + start, length, prot, writable: prot.includes('w'), live: true };
  return (
    first([ioas === CLOSED || (user && source === NOTHING), 'EBADF']) ??
    malformed(c, c.iova, length) ??
    first([ioas === GONE, 'ENOENT'], [length === 0n, 'EINVAL']) ??
    first([from + length > (user ? MAX : END), 'EOVERFLOW'], [source === NOTHING, 'EBADF']) ??
    first([(dmabuf && start + length > source.length) || length > MAX - s.machine.pageSize, 'EINVAL']) ??
    first([dmabuf && revoked(s, source), 'ENODEV'], [dmabuf && source.ranges.length > 1, 'EOPNOTSUPP']) ??
    lay(s, ioas, [{ iova: 0n, ...whole }], c.iova, choice)
  );
};

/** A copy may take any part that is covered. Of a dead area it is as dead. */
export const copy = (s: State, c: Do<'ioas_copy'>, choice?: Iova): Outcome => {
  const [src, dst, end] = [ioasNamed(s, c.src), ioasNamed(s, c.dst), c.src_iova + c.length];
  const covered = src.areas.filter(meeting([c.src_iova, end - 1n]));
  const pieces = covered.map((area): Area => {
    const [from, to] = [higher(area.iova, c.src_iova), lower(area.iova + area.length, end)];
    return { ...area, length: to - from, offset: area.offset + from - area.iova, prot: c.prot };
  });
  const uncovered = total(pieces) < c.length || src.space.context !== dst.space.context;
  return (
    first([src === CLOSED || dst === CLOSED, 'EBADF']) ??
    malformed(c, c.length, c.src_iova, c.dst_iova) ??
    first([src === GONE, 'ENOENT'], [c.length === 0n, 'EINVAL'], [end > END, 'EOVERFLOW'], [uncovered, 'ENOENT']) ??
    lay(s, dst, pieces, c.dst_iova, choice)
  );
};

/** Whole areas, the lowest first. One that sticks out of the range ends it, and those before it are gone by then. */
export const unmap = (s: State, { ioas: name, iova, length }: Do<'ioas_unmap'>): Outcome => {
  const ioas = ioasNamed(s, name);
  const all = iova === 0n && length === MAX;
  const end = all ? END : iova + length;
  const hit = ioas.areas.filter(meeting([iova, end - 1n]));
  const out = hit.findIndex((area) => area.iova < iova || area.iova + area.length > end);
  const gone = out < 0 ? hit : hit.slice(0, out);
  const state = { ...s, ioases: swap(s.ioases, ioas, { areas: ioas.areas.filter((area) => !gone.includes(area)) }) };
  return (
    first([ioas === CLOSED, 'EBADF'], [ioas === GONE, 'ENOENT']) ??
    first([!all && (iova === MAX || length === MAX), 'EOVERFLOW'], [length === 0n, 'EINVAL']) ??
    first([end > END, 'EOVERFLOW'], [gone.length === 0 && !all, 'ENOENT']) ??
    (out < 0 ? { state, ok: { length: total(gone) } } : { err: 'ENOENT', state })
  );
};
