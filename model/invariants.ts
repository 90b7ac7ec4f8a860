/**
 * What must hold in either world, whatever was asked of it: predicates over what a world shows, never over its
 * bookkeeping. Each returns its counterexamples, so that a failure explains itself.
 */

import type { Interval } from '../trace/command.ts';
import { gaps, higher } from './iova.ts';
import type { AreaSeen, Observation, Pte, Range, Stretch } from './observation.ts';

export type * from './observation.ts';

type Bytes = bigint;
/** Where something is wrong: in a domain; or in what the `cpu` maps, by its name, and at which byte of it. */
export type Counterexample = Readonly<{ domain: string; iova: Bytes; why: string; cpu?: true }>;
/** `guardedBy`: whoever holds this lock may break it for a moment. */
export type Invariant = Readonly<{ name: string; because: string; source: string; guardedBy: string }> &
  Readonly<{ breaches: (seen: Observation) => Counterexample[] }>;

const hex = (n: Bytes): string => `0x${n.toString(16)}`;
const at = ({ memory, offset }: Stretch): string => `${memory}+${hex(offset)}`;
const breach = ({ domain, iova }: Omit<Counterexample, 'why'>, why: string): Counterexample => ({ domain, iova, why });

const within = (a: Stretch, b: Stretch): boolean =>
  a.memory === b.memory && b.offset <= a.offset && a.offset + a.length <= b.offset + b.length;
const overlap = (a: Stretch, b: Stretch): boolean =>
  a.memory === b.memory && a.offset < b.offset + b.length && b.offset < a.offset + a.length;
const meet = (a: Omit<Range, 'domain'>, b: Omit<Range, 'domain'>): boolean =>
  a.iova < b.iova + b.length && b.iova < a.iova + a.length;
const clash = (a: Range, b: Range): boolean => a.domain === b.domain && meet(a, b);

/** Each area with each PTE of its domains that meets it, cut to what lies in the area; kept for the next to ask. */
const pairs = (seen: Observation): readonly Pair[] => {
  if (last.seen === seen) return last.pairs;
  const found: Pair[] = [];
  for (const area of seen.areas)
    for (const pte of seen.ptes)
      if (area.domains.includes(pte.domain) && meet(pte, area)) found.push({ area, pte: cut(pte, area) });
  last = { seen, pairs: found };
  return found;
};
type Pair = Readonly<{ area: AreaSeen; pte: Pte }>;
let last: Readonly<{ seen?: Observation; pairs: readonly Pair[] }> = { pairs: [] };
const cut = (pte: Pte, { iova, length }: AreaSeen): Pte => {
  if (iova <= pte.iova && pte.iova + pte.length <= iova + length) return pte;
  const [before, after] = [higher(iova - pte.iova, 0n), higher(pte.iova + pte.length - iova - length, 0n)];
  return { ...pte, iova: pte.iova + before, offset: pte.offset + before, length: pte.length - before - after };
};

export const neverMappedWhileRevoked: Invariant = {
  name: 'never mapped while revoked',
  because: 'once a revoke has returned the device may lose power, and a DMA that still reaches it is a machine check',
  source: 'drivers/vfio/pci/vfio_pci_dmabuf.c, the contract above vfio_pci_dma_buf_iommufd_map()',
  guardedBy: 'dma_resv',
  breaches: (seen) => {
    const found: Counterexample[] = [];
    const gone = (it: Stretch): boolean => seen.revoked.some((stretch) => overlap(it, stretch));
    const lost = (what: string): string => `${what}, but its owner has taken it back`;
    for (const pte of seen.ptes) if (gone(pte)) found.push(breach(pte, lost(`${at(pte)} is mapped`)));
    for (const pte of seen.cpu)
      if (pte.shut || gone(pte))
        found.push({ cpu: true, domain: pte.map, iova: pte.at, why: lost(`shows ${at(pte)}`) });
    for (const { area, pte } of pairs(seen))
      if (area.shot) found.push(breach(pte, `${at(pte)} is mapped, but a revoke has shot its area`));
    return found;
  },
};

export const noDoubleUnmap: Invariant = {
  name: 'no double unmap',
  because: 'a second unmap finds nothing, or takes away what someone else has mapped there since',
  source: 'drivers/iommu/iommufd/pages.c, iopt_area_unmap_domain()',
  guardedBy: 'pages->mutex',
  breaches: (seen) => {
    const found: Counterexample[] = [];
    const renewed = (a: Range, b: Range): boolean => seen.maps.some((map) => clash(map, a) && clash(map, b));
    for (const [i, call] of seen.unmaps.entries()) {
      if (call.cleared !== call.length)
        found.push(breach(call, `${hex(call.cleared)} of ${hex(call.length)} bytes were there to be unmapped`));
      if (seen.unmaps.some((before, j) => j < i && clash(before, call) && !renewed(before, call)))
        found.push(breach(call, 'was unmapped in this step already, and not mapped since'));
    }
    return found;
  },
};

export const oneMmioRange: Invariant = {
  name: 'one MMIO range',
  because: 'device memory mapped like CPU memory, or past the end of the buffer, is corruption that nobody reports',
  source: 'drivers/iommu/iommufd/pages.c, iopt_area_fill_domain()',
  guardedBy: 'pages->mutex',
  breaches: (seen) => {
    const wrong = ({ slice }: AreaSeen, pte: Pte): string | false => {
      if (!slice) return (pte.mmio || !pte.cache) && 'is CPU memory, but not mapped as such';
      if (!within(pte, slice)) return `and on, ${hex(pte.length)} bytes, is not within the buffer at ${at(slice)}`;
      return seen.keepsMmio && (!pte.mmio || pte.cache) && 'is device memory, but not mapped as such';
    };
    const found: Counterexample[] = [];
    for (const { area, pte } of pairs(seen)) {
      const why = wrong(area, pte);
      if (why) found.push(breach(pte, `${at(pte)} ${why}`));
    }
    const sliced = seen.areas.filter(({ slice }) => slice);
    if (!seen.keepsMmio || sliced.length === 0) return found;
    // An area is mapped at once, or page by page; it is unmapped at once.
    const unit = (area: AreaSeen, call: Range): Bytes => ('mmio' in call && area.page) || area.length;
    const part = (area: AreaSeen, call: Range, whole = unit(area, call)): boolean =>
      call.length !== whole || (call.iova - area.iova) % whole !== 0n;
    for (const call of [...seen.maps, ...seen.unmaps])
      if (sliced.some((it) => it.domains.includes(call.domain) && meet(it, call) && part(it, call)))
        found.push(breach(call, `a call for ${hex(call.length)} bytes, and not for the whole area of a buffer`));
    return found;
  },
};

export const subPageOffsets: Invariant = {
  name: 'sub-page offsets correct',
  because: 'a device must reach the bytes that were mapped, and not their neighbours in the same page',
  source: 'drivers/iommu/iommufd/pages.c, batch_to_domain()',
  guardedBy: 'pages->mutex',
  breaches: (seen) => {
    const right = ({ area, pte }: Pair): Stretch => ({ ...area, offset: area.offset + pte.iova - area.iova });
    const found: Counterexample[] = [];
    for (const it of pairs(seen))
      if (it.area.memory !== it.pte.memory || it.area.offset - it.area.iova !== it.pte.offset - it.pte.iova)
        found.push(breach(it.pte, `reaches ${at(it.pte)}, not ${at(right(it))}`));
    for (const pte of seen.ptes) {
      if (pairs(seen).some((it) => it.pte === pte)) continue; // Nothing of it was cut off: an area has all of it.
      const own = seen.areas.filter((area) => area.domains.includes(pte.domain));
      const taken = own.map(({ iova, length }): Interval => [iova, iova + length - 1n]);
      for (const [iova] of gaps(taken, pte.iova, pte.iova + pte.length - 1n))
        found.push(breach({ ...pte, iova }, 'is translated, but no area is there'));
    }
    return found;
  },
};

/** The core of what this project checks. */
export const invariants: readonly Invariant[] = [neverMappedWhileRevoked, noDoubleUnmap, oneMmioRange, subPageOffsets];
