/**
 * Where an area goes: the checks of a fixed IOVA, and the search for an automatic one.
 *
 * Source: drivers/iommu/iommufd/io_pagetable.c, iopt_check_iova(), iopt_alloc_iova()
 */
import type { Errno } from '../kernel/errno.ts';
import type { IntervalTree } from '../kernel/interval-tree.ts';
import { assertHeldWrite } from '../kernel/rwsem.ts';
import {
  alignUp,
  atMost,
  type Bytes,
  equal,
  type Iova,
  isAligned,
  lastOf,
  less,
  max,
  min,
  next,
  ONE,
  PAGE,
  PAGE_SIZE,
  previous,
  sub,
  type U64,
  U64_MAX,
  u64,
} from '../kernel/units.ts';
import type { Allowed, IoPagetable } from './io-pagetable.ts';

/** The largest alignment that an automatic IOVA is given: a huge page. */
const HPAGE_SIZE = 2 * 1024 * 1024;
const HALF = u64(2 ** 51 - 1, PAGE_SIZE - 1);

/** Whether [iova, iova + length) may be mapped. Locks: iova_rwsem W. Fails: EINVAL, EOVERFLOW, EEXIST, in that order */
export function checkIova(iopt: IoPagetable, iova: Iova, length: Bytes): Errno | undefined {
  assertHeldWrite(iopt.iovaRwsem);
  if (!isAligned(iova, iopt.alignment)) return 'EINVAL';
  const last = lastOf(iova, length);
  if (last === undefined) return 'EOVERFLOW';
  if (iopt.reserved.first(iova, last) !== undefined) return 'EINVAL';
  if (iopt.areas.first(iova, last) !== undefined) return 'EEXIST';
  return undefined;
}

/**
 * The lowest IOVA at which `length` bytes fit, aligned as well as their length and their address in memory allow.
 * Units: address and length in bytes
 * Locks: iova_rwsem W
 * Fails: EOVERFLOW for a senseless length, EINVAL when the memory's alignment is below the domains', ENOSPC
 */
export function allocIova(iopt: IoPagetable, address: U64, length: Bytes): Iova | Errno {
  assertHeldWrite(iopt.iovaRwsem);
  if (atMost(HALF, length)) return 'EOVERFLOW';
  const align = alignmentFor(address, length);
  if (align < iopt.alignment) return 'EINVAL';
  const tail = sub(length, ONE);
  const place = (start: Iova, last: Iova): Iova | undefined => {
    const aligned = alignUp(start, align);
    if (aligned === undefined) return undefined;
    const iova = u64(aligned.page, aligned.byte | address.byte);
    return less(iova, last) && atMost(tail, sub(last, iova)) ? iova : undefined;
  };
  for (const [start, last] of spans(iopt)) {
    const from = place(start, last);
    const iova = from && findHole(iopt, from, last, length, align, place);
    if (iova !== undefined) return iova;
  }
  return 'ENOSPC';
}

const LIMIT = sub(U64_MAX, PAGE);
const EVERYTHING: readonly (readonly [Iova, Iova])[] = [[PAGE, LIMIT]];

/** What automatic placement may use at all, ascending; allowed intervals that touch are one. */
function spans({ allowed }: IoPagetable): readonly (readonly [Iova, Iova])[] {
  if (allowed.size === 0) return EVERYTHING;
  const found: (readonly [Iova, Iova])[] = [];
  let range = allowed.first(PAGE, LIMIT);
  while (range !== undefined) {
    const start = max(range.start, PAGE);
    let { last } = range;
    range = following(allowed, last);
    while (range !== undefined && equal(previous(range.start), last)) {
      last = range.last;
      range = following(allowed, last);
    }
    found.push([start, min(last, LIMIT)]);
  }
  return found;
}

function following(allowed: IntervalTree<Allowed>, last: Iova): Allowed | undefined {
  const start = next(last);
  return start && allowed.first(start, U64_MAX);
}

/** The lowest hole of [from, to], between areas and reservations, that `place` takes. */
function findHole(
  iopt: IoPagetable,
  from: Iova,
  to: Iova,
  length: Bytes,
  align: number,
  place: (start: Iova, last: Iova) => Iova | undefined,
): Iova | undefined {
  let free: Iova | undefined = from;
  for (const { start, last } of iopt.reserved.overlapping(from, to)) {
    if (free === undefined) return undefined;
    if (less(free, start)) {
      const iova = iopt.areas.lowestGap(free, previous(start), length, align, place);
      if (iova !== undefined) return iova;
    }
    if (atMost(free, last)) free = next(last);
  }
  return free && atMost(free, to) ? iopt.areas.lowestGap(free, to, length, align, place) : undefined;
}

/** A power of two: the length rounded up, but no more than the address is aligned to, nor than a huge page. */
function alignmentFor(address: U64, length: Bytes): number {
  const hugePages = HPAGE_SIZE / PAGE_SIZE;
  const wanted = length.page >= hugePages ? HPAGE_SIZE : roundUpToPowerOfTwo(length.page * PAGE_SIZE + length.byte);
  const low = address.page & (hugePages - 1);
  const given = address.byte > 0 ? lowestBit(address.byte) : low > 0 ? lowestBit(low) * PAGE_SIZE : HPAGE_SIZE;
  return Math.min(wanted, given, HPAGE_SIZE);
}

const roundUpToPowerOfTwo = (x: number): number => (x <= 1 ? 1 : 1 << (32 - Math.clz32(x - 1)));
const lowestBit = (x: number): number => x & -x;
