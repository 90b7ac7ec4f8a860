/**
 * Making areas: a list of pieces, laid out back to back, is placed as a whole, filled into every domain, and published.
 *
 * Source: drivers/iommu/iommufd/io_pagetable.c, iopt_map_pages(), iopt_alloc_area_pages()
 */

import { IOMMU_WRITE } from '../iommu/prot.ts';
import type { Errno } from '../kernel/errno.ts';
import { isErrno } from '../kernel/errno.ts';
import { free } from '../kernel/poison.ts';
import { assertHeldAny, assertHeldWrite } from '../kernel/rwsem.ts';
import { warnOn } from '../kernel/splat.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import {
  add,
  type Bytes,
  type Iova,
  isAligned,
  isZero,
  lastOf,
  lengthOf,
  less,
  max,
  min,
  next,
  type U64,
} from '../kernel/units.ts';
import { Area } from './area.ts';
import { fillDomains, unfillDomains } from './fill.ts';
import type { IoPagetable } from './io-pagetable.ts';
import type { Pages } from './pages.ts';
import { allocIova, checkIova } from './placement.ts';
import { putPages } from './release.ts';

/**
 * struct iopt_pages_list: one piece to map, `length` bytes of `pages` from byte `start` on. It holds one reference of
 * the pages.
 */
export interface Piece {
  readonly pages: Pages;
  readonly start: U64;
  readonly length: Bytes;
  /** Once it has a place. */
  area: Area | undefined;
}

type Placed = Piece & { area: Area };

/**
 * iopt_map_pages(): map the pieces, `length` bytes in all, at `fixed`, or where there is room. On success each area has
 * taken over its piece's reference; on failure the caller keeps them all, and nothing is left behind.
 * Locks: takes iova_rwsem W, then domains_rwsem R with pages->mutex and iova_rwsem W inside
 * Fails: placement (2.7) before filling (5)
 */
export function* mapPages(
  iopt: IoPagetable,
  pieces: readonly Piece[],
  length: Bytes,
  fixed: Iova | undefined,
  prot: number,
): Thread<Iova | Errno> {
  const iova = yield* insertAreas(iopt, pieces, length, fixed, prot);
  if (isErrno(iova)) return iova;
  yield iopt.domainsRwsem.read;
  let failed: Errno | undefined;
  try {
    // Without a domain there is nothing to fill.
    if (iopt.domains.length > 0) failed = yield* fillAll(pieces);
    yield iopt.iovaRwsem.write;
    try {
      for (const piece of pieces) {
        const { area, pages } = piece as Placed;
        if (failed === undefined) area.pages = pages;
        else abortArea(iopt, area);
      }
    } finally {
      iopt.iovaRwsem.releaseWrite();
    }
  } finally {
    iopt.domainsRwsem.releaseRead();
  }
  return failed ?? iova;
}

/** Place the pieces and enter their areas, without pages as yet: "being set up". Locks: takes iova_rwsem W */
function* insertAreas(
  iopt: IoPagetable,
  pieces: readonly Piece[],
  length: Bytes,
  fixed: Iova | undefined,
  prot: number,
): Thread<Iova | Errno> {
  for (let i = 0; i < pieces.length; i++) if (shouldFail('iopt_area_alloc')) return 'ENOMEM';
  yield iopt.iovaRwsem.write;
  try {
    const iova = place(iopt, pieces[0] as Piece, length, fixed);
    if (isErrno(iova)) return iova;
    let at = iova;
    for (const piece of pieces) {
      const refused = insertArea(iopt, piece, at, prot);
      if (refused !== undefined) {
        for (const { area } of pieces) if (area !== undefined) abortArea(iopt, area);
        return refused;
      }
      at = add(at, piece.length);
    }
    return iova;
  } finally {
    iopt.iovaRwsem.releaseWrite();
  }
}

/** iopt_abort_area() */
function abortArea(iopt: IoPagetable, area: Area): void {
  iopt.areas.remove(area);
  free(area, 'iopt_area');
}

function place(iopt: IoPagetable, first: Piece, length: Bytes, fixed: Iova | undefined): Iova | Errno {
  assertHeldWrite(iopt.iovaRwsem);
  if (isZero(length) || !isAligned(length, iopt.alignment)) return 'EINVAL';
  if (fixed === undefined) return allocIova(iopt, first.pages.addressOf(first.start), length);
  return checkIova(iopt, fixed, length) ?? fixed;
}

/** iopt_insert_area(). Locks: iova_rwsem W. Fails: EPERM, EINVAL, EOVERFLOW, in that order */
function insertArea(iopt: IoPagetable, piece: Piece, iova: Iova, prot: number): Errno | undefined {
  assertHeldWrite(iopt.iovaRwsem);
  if ((prot & IOMMU_WRITE) !== 0 && !piece.pages.writable) return 'EPERM';
  if (!isAligned(piece.start, iopt.alignment)) return 'EINVAL';
  const last = lastOf(iova, piece.length);
  // Never so here, because the whole range was checked before; the kernel asks for each piece all the same.
  if (last === undefined) return 'EOVERFLOW';
  const area = new Area(iopt, iova, last, prot, piece.start);
  warnOn(area.lastIndex >= piece.pages.npages, 'an area reaches beyond its pages');
  iopt.areas.insert(area);
  piece.area = area;
  return undefined;
}

/** iopt_fill_domains_pages(): all areas in all domains, or none. Locks: domains_rwsem */
function* fillAll(pieces: readonly Piece[]): Thread<Errno | undefined> {
  for (let i = 0; i < pieces.length; i++) {
    const { area, pages } = pieces[i] as Placed;
    assertHeldAny(area.iopt.domainsRwsem);
    const failed = yield* fillDomains(area, pages);
    if (failed === undefined) continue;
    for (const filled of pieces.slice(0, i) as Placed[]) yield* unfillDomains(filled.area, filled.pages);
    return failed;
  }
  return undefined;
}

/**
 * iopt_get_pages(): the pieces behind [iova, iova + length), each with a reference of its own. The range may begin and
 * end inside areas, but must have no hole.
 * Locks: takes iova_rwsem R
 * Fails: ENOENT where something is missing or being set up, ENOMEM
 */
export function* getPieces(iopt: IoPagetable, iova: Iova, last: Iova): Thread<Piece[] | Errno> {
  const pieces: Piece[] = [];
  const failed = yield* takePieces(iopt, iova, last, pieces);
  if (failed === undefined) return pieces;
  for (const { pages } of pieces) yield* putPages(pages);
  return failed;
}

/** Those that could be had, before one that could not. Locks: takes iova_rwsem R */
function* takePieces(iopt: IoPagetable, iova: Iova, last: Iova, pieces: Piece[]): Thread<Errno | undefined> {
  yield iopt.iovaRwsem.read;
  try {
    const areas = iopt.areas.overlapping(iova, last);
    if (!coverWithoutHole(areas, iova, last)) return 'ENOENT';
    for (const area of areas) {
      if (shouldFail('iopt_get_pages')) return 'ENOMEM';
      pieces.push(pieceOf(area, iova, last));
    }
    return undefined;
  } finally {
    iopt.iovaRwsem.releaseRead();
  }
}

function coverWithoutHole(areas: readonly Area[], iova: Iova, last: Iova): boolean {
  let missing: Iova | undefined = iova;
  for (const area of areas) {
    if (area.pages === undefined || missing === undefined || less(missing, area.iova)) return false;
    missing = next(area.last);
  }
  return missing === undefined || less(last, missing);
}

/** What [iova, last] shows of the area. Takes a reference. */
function pieceOf(area: Area, iova: Iova, last: Iova): Piece {
  const pages = area.pages as Pages;
  const from = max(iova, area.iova);
  pages.kref.get();
  return { pages, start: area.startByte(from), length: lengthOf(from, min(last, area.last)), area: undefined };
}
