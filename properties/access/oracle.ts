/**
 * What accesses promise, told naively: memory is an array of bytes, an area a stretch of it, and which pages are pinned
 * is worked out anew from who maps and who has pinned what. Written from the documents alone.
 *
 * Source: iommufd 1.2, 2.5, 2.13, 2.16
 */
import type { Errno } from '../../trace/answer.ts';
import type { Prot } from '../../trace/command.ts';

export const P = 0x1000;
const END = 1n << 64n;

/** `bytes` is empty for device memory, which no access may touch. */
export interface Memory {
  readonly name: string;
  readonly kind: 'user' | 'file' | 'dmabuf';
  /** Of user memory, whole pages; of a file, as long as that says. */
  readonly size: number;
  readonly bytes: Uint8Array;
}

/** What one MAP made; its copies share it. Byte 0 is byte `base` of the memory; `last` the last that it shows. */
export interface Slab {
  readonly memory: Memory;
  readonly base: number;
  readonly last: number;
  readonly writable: boolean;
  revoked: boolean;
}

/** Byte `iova` shows byte `start` of the slab. */
export interface Area {
  readonly iova: number;
  readonly length: number;
  readonly prot: Prot;
  readonly slab: Slab;
  readonly start: number;
}

export interface Space {
  readonly name: string;
  /** Ascending. */
  areas: Area[];
  /** Who has a domain here: devices share one, of the IOAS's name; HWPTs are one each. */
  readonly devices: Set<string>;
  readonly hwpts: Set<string>;
}

export interface Pin {
  readonly iova: number;
  readonly length: number;
}

/** `queue` is an internal access, which locks what it has pinned. */
export interface Accessor {
  readonly name: string;
  readonly kind: 'rw' | 'pin' | 'queue';
  space: Space | undefined;
  readonly pins: Map<number, Pin>;
}

export interface Oracle {
  readonly memories: readonly Memory[];
  spaces: Space[];
  accesses: Accessor[];
  /** The granule of the domains. */
  readonly granule: number;
  /** The process whose memory it is has ended. */
  exited: boolean;
}

export const domainsOf = ({ name, devices, hwpts }: Space): string[] => [...(devices.size > 0 ? [name] : []), ...hwpts];

export const meets = (a: Pin, b: Pin): boolean => a.iova < b.iova + b.length && b.iova < a.iova + a.length;

/** The alignment that an IOAS must have. */
export function alignmentOf({ accesses, granule }: Oracle, space: Space): number {
  const pinning = accesses.some((access) => access.space === space && access.kind !== 'rw');
  return Math.max(1, domainsOf(space).length > 0 ? granule : 1, pinning ? P : 1);
}

export const isAligned = ({ iova, length, start }: Area, to: number): boolean =>
  iova % to === 0 && length % to === 0 && start % to === 0;

/** Pages of the slab that bytes [from, from + length) of the area lie in. */
function* pagesOf({ iova, start }: Area, from: number, length: number): Generator<number> {
  const first = start + from - iova;
  for (let page = Math.floor(first / P); page * P < first + length; page++) yield page;
}

/** Pages of the slab that must be pinned: in a domain, or by an access; each once, however many hold it. */
export function heldPages(oracle: Oracle, slab: Slab): Set<number> {
  const held = new Set<number>();
  if (slab.memory.kind === 'dmabuf') return held;
  for (const space of oracle.spaces) {
    const own = space.areas.filter((area) => area.slab === slab);
    const mapped = domainsOf(space).length > 0;
    for (const area of own) if (mapped) for (const page of pagesOf(area, area.iova, area.length)) held.add(page);
    for (const pin of oracle.accesses.flatMap((access) => (access.space === space ? [...access.pins.values()] : []))) {
      for (const area of own.filter((it) => meets(it, pin))) {
        const from = Math.max(area.iova, pin.iova);
        const end = Math.min(area.iova + area.length, pin.iova + pin.length);
        for (const page of pagesOf(area, from, end - from)) held.add(page);
      }
    }
  }
  return held;
}

/** Why page `page` of the slab cannot be had when nobody holds it. */
function missing({ exited }: Oracle, { memory, base, last }: Slab, page: number): Errno | undefined {
  const at = base + page * P;
  if (memory.kind === 'user') return exited || at >= memory.size ? 'EFAULT' : undefined;
  return Math.min(last, at + P - 1) >= memory.size ? 'EINVAL' : undefined;
}

/** Why all pages of [from, from + length) cannot be had. */
export function unreachable(oracle: Oracle, area: Area, from: number, length: number): Errno | undefined {
  if (area.slab.memory.kind === 'dmabuf') return undefined;
  const held = heldPages(oracle, area.slab);
  for (const page of pagesOf(area, from, length)) {
    const why = held.has(page) ? undefined : missing(oracle, area.slab, page);
    if (why !== undefined) return why;
  }
  return undefined;
}

/** A piece of a range: bytes [from, from + length) of one area. `last` piece of the range or not. */
interface Piece {
  readonly area: Area;
  readonly from: number;
  readonly length: number;
  readonly last: boolean;
}

/**
 * Go through the range area by area; `each` says why it must stop. ENOENT at the first byte that no area has, after the
 * pieces before it.
 */
function along(space: Space | undefined, iova: bigint, length: number, each: (it: Piece) => Errno | undefined) {
  if (length === 0) return 'EINVAL';
  if (iova + BigInt(length) > END) return 'EOVERFLOW';
  if (space === undefined) return 'ENOENT';
  const end = Number(iova) + length;
  for (let at = Number(iova); at < end; ) {
    const area = space.areas.find((it) => it.iova <= at && at < it.iova + it.length);
    if (area === undefined) return 'ENOENT';
    const to = Math.min(end, area.iova + area.length);
    const why = each({ area, from: at, length: to - at, last: to === end });
    if (why !== undefined) return why;
    at = to;
  }
  return undefined;
}

const forbidden = ({ prot, slab }: Area, write: boolean): Errno | undefined =>
  !prot.includes(write ? 'w' : 'r') || (write && !slab.writable) ? 'EPERM' : undefined;

/** What pinning answers; who calls notes the pin when that is nothing. */
export function pinned(oracle: Oracle, access: Accessor, iova: bigint, length: number, write: boolean) {
  return along(access.space, iova, length, ({ area, from, length: bytes, last }) => {
    const first = area.start + from - area.iova;
    if (first % P !== 0 || (!last && (first + bytes) % P !== 0)) return 'EINVAL';
    const why = forbidden(area, write);
    if (why !== undefined) return why;
    return area.slab.memory.kind === 'dmabuf' ? 'EINVAL' : unreachable(oracle, area, from, bytes);
  });
}

/** Whether the pages of the range lie next to each other in one memory. */
export function inOneStretch({ areas }: Space, range: Pin): boolean {
  const pages = areas
    .filter((area) => meets(area, range))
    .flatMap((area) => {
      const from = Math.max(area.iova, range.iova);
      const end = Math.min(area.iova + area.length, range.iova + range.length);
      return [...pagesOf(area, from, end - from)].map((page) => ({
        memory: area.slab.memory,
        at: area.slab.base + page * P,
      }));
    });
  return pages.every(({ memory, at }, i) => memory === pages[0]?.memory && at === pages[0].at + i * P);
}

/**
 * How bytes get from here to there: all that can be had before the first that cannot (`fast`), or all of a piece or
 * nothing (`whole`).
 */
export type Route = 'fast' | 'whole';

/** What rw answers, having moved bytes between `data` and the memories as far as it came. */
export function moved(oracle: Oracle, access: Accessor, iova: bigint, data: Uint8Array, write: boolean, route: Route) {
  let done = 0;
  return along(access.space, iova, data.length, ({ area, from, length }) => {
    const why = forbidden(area, write);
    if (why !== undefined) return why;
    const { memory, base } = area.slab;
    if (memory.kind === 'dmabuf') return 'EINVAL';
    let left = length;
    let failed: Errno | undefined;
    if (memory.kind === 'user' && route === 'fast') {
      const there = oracle.exited ? 0 : memory.size - (base + area.start + from - area.iova);
      if (there < length) [left, failed] = [Math.max(0, there), 'EFAULT'];
    } else {
      failed = unreachable(oracle, area, from, length);
      if (failed !== undefined) return failed;
    }
    for (let i = 0; i < left; i++, done++) {
      const at = base + area.start + from - area.iova + i;
      if (write) memory.bytes[at] = data[done] as number;
      else data[done] = memory.bytes[at] as number;
    }
    return failed;
  });
}

/** What UNMAP answers, having removed areas, and the pins that were in their way. */
export function unmapped({ accesses }: Oracle, space: Space, iova: number, length: number): number | Errno {
  const range = { iova, length };
  let removed = 0;
  for (const area of space.areas.filter((it) => meets(it, range))) {
    const pins = accesses.filter(
      (access) => access.space === space && [...access.pins.values()].some((pin) => meets(pin, area)),
    );
    if (pins.some(({ kind }) => kind === 'queue')) return 'EBUSY';
    if (area.iova < iova || area.iova + area.length > iova + length) return 'ENOENT';
    for (const access of pins) dropPins(access, area);
    space.areas = space.areas.filter((it) => it !== area);
    removed += area.length;
  }
  return removed === 0 ? 'ENOENT' : removed;
}

/** The driver lets go of every pin that meets the range, the whole of it. */
function dropPins({ pins }: Accessor, range: Pin): void {
  for (const [id, pin] of pins) if (meets(pin, range)) pins.delete(id);
}

/** What attaching an access answers. */
export function attachable(space: Space | undefined, kind: Accessor['kind']): Errno | undefined {
  if (space === undefined) return 'ENOENT';
  return kind === 'rw' || space.areas.every((area) => isAligned(area, P)) ? undefined : 'EADDRINUSE';
}
