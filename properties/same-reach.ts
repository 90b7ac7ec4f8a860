/** Whether a domain translates just what the areas promise. */
import type { Pte } from '../model/invariants.ts';
import type { Area } from '../model/spec.ts';
import type { Looked } from './look.ts';
import { target } from './observe.ts';

/**
 * The first IOVA of the place at which the two differ, in a line; none when they are the same. Dead areas promise
 * nothing.
 */
export function firstDifference(looked: Looked): readonly string[] {
  return eachIsOne(looked) ? NONE : firstDifferent(looked);
}

const NONE: readonly string[] = [];

/** The common case: every live area is one translation. */
function eachIsOne({ areas, ptes }: Looked): boolean {
  let its = 0;
  for (const { iova, length, source, offset, prot, live } of areas) {
    if (!live) continue;
    const pte = ptes[its++];
    if (pte === undefined || pte.iova !== iova || pte.length !== length || pte.memory !== source.memory) return false;
    if (pte.offset !== offset || pte.prot !== prot) return false;
  }
  return its === ptes.length;
}

function firstDifferent({ name, areas, ptes, first, last }: Looked): readonly string[] {
  let at = first;
  let i = 0;
  let j = 0;
  while (at <= last) {
    while (i < areas.length && (!areas[i]?.live || endOf(areas[i] as Area) <= at)) i++;
    while (j < ptes.length && endOf(ptes[j] as Pte) <= at) j++;
    const area = areas[i];
    const pte = ptes[j];
    if (area === undefined && pte === undefined) return [];
    const promised = area !== undefined && area.iova <= at ? area : undefined;
    const found = pte !== undefined && pte.iova <= at ? pte : undefined;
    if (!same(promised, found, at)) return [`domain ${name}, ${describe(promised, found, at)}`];
    at = nextEdge(area, pte, at, last + 1n);
  }
  return [];
}

const endOf = ({ iova, length }: { readonly iova: bigint; readonly length: bigint }): bigint => iova + length;

function same(area: Area | undefined, pte: Pte | undefined, at: bigint): boolean {
  if (area === undefined || pte === undefined) return area === undefined && pte === undefined;
  return (
    area.source.memory === pte.memory &&
    area.offset + (at - area.iova) === pte.offset + (at - pte.iova) &&
    area.prot === pte.prot
  );
}

function describe(area: Area | undefined, pte: Pte | undefined, at: bigint): string {
  const where = (memory: string, offset: bigint, prot: string): string => `${target(memory, offset)} ${prot}`;
  const promised = area && where(area.source.memory, area.offset + at - area.iova, area.prot);
  const found = pte && where(pte.memory, pte.offset + at - pte.iova, pte.prot);
  return `IOVA 0x${at.toString(16)}: the model reaches ${promised ?? 'nothing'}, the hardware ${found ?? 'nothing'}`;
}

/** The next address after `at` at which an area or a translation begins or ends. */
function nextEdge(area: Area | undefined, pte: Pte | undefined, at: bigint, limit: bigint): bigint {
  let edge = limit;
  for (const it of [area, pte]) {
    if (it === undefined) continue;
    const next = it.iova > at ? it.iova : endOf(it);
    if (next < edge) edge = next;
  }
  return edge;
}
