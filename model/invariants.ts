/**
 * What must hold in either world, whatever was asked of it: predicates over what a world shows, never over its
 * bookkeeping. Each returns its counterexamples, so that a failure explains itself.
 *
 * An observation may be partial, as long as it is whole where it looks: it may leave out areas, and cut those that it
 * gives, but then PTEs are left out and cut alike. An area of a dma-buf that a call meets is given in full.
 */

import type { Interval, Prot } from '../trace/command.ts';
import { gaps, higher } from './iova.ts';

type Bytes = bigint;
type Range = Readonly<{ domain: string; iova: Bytes; length: Bytes }>;
/** [offset, offset + length) of a BAR (`dev0:2`), of user memory or of a memfd (`m0`). */
export type Stretch = Readonly<{ memory: string; offset: Bytes; length: Bytes }>;
/** What a domain translates from `iova` on, as the hardware walks it; neighbours may be one. */
export type Pte = Stretch & Range & Readonly<{ prot: Prot; mmio: boolean; cache: boolean }>;
/**
 * An area in its domains; `offset` is where its first byte must land. One of a dma-buf has a `slice`, the range that
 * the buffer is made of, and is `shot` once its exporter has revoked the buffer.
 */
export type AreaSeen = Stretch & Readonly<{ domains: readonly string[]; iova: Bytes; slice?: Stretch; shot: boolean }>;
export type MapCall = Stretch & Range & Readonly<{ mmio: boolean }>;
/** `cleared` is what the domain made of the `asked` bytes. */
export type UnmapCall = Readonly<{ domain: string; iova: Bytes; asked: Bytes; cleared: Bytes }>;
/**
 * `revoked`: device memory that its owner has taken back. The calls are those of this step, in order. `keepsMmio` is
 * false before 7.3, where a copy or a second domain may be mapped as CPU memory, and in several calls.
 */
export type Observation = Readonly<{ ptes: readonly Pte[]; areas: readonly AreaSeen[]; revoked: readonly Stretch[] }> &
  Readonly<{ maps: readonly MapCall[]; unmaps: readonly UnmapCall[]; keepsMmio: boolean }>;

export type Counterexample = Readonly<{ domain: string; iova: Bytes; why: string }>;
/** `guardedBy`: whoever holds this lock may break it for a moment. */
export type Invariant = Readonly<{ name: string; because: string; source: string; guardedBy: string }> &
  Readonly<{ breaches: (seen: Observation) => Counterexample[] }>;

const hex = (n: Bytes): string => `0x${n.toString(16)}`;
const at = ({ memory, offset }: Stretch): string => `${memory}+${hex(offset)}`;
const breach = ({ domain, iova }: Omit<Counterexample, 'why'>, why: string): Counterexample => ({ domain, iova, why });
const asked = ({ unmaps }: Observation): Range[] => unmaps.map((call) => ({ ...call, length: call.asked }));

const within = (a: Stretch, b: Stretch): boolean =>
  a.memory === b.memory && b.offset <= a.offset && a.offset + a.length <= b.offset + b.length;
const meet = (a: Omit<Range, 'domain'>, b: Omit<Range, 'domain'>): boolean =>
  a.iova < b.iova + b.length && b.iova < a.iova + a.length;
const clash = (a: Range, b: Range): boolean => a.domain === b.domain && meet(a, b);

/** Each area with each PTE of its domains that meets it, cut to what lies in the area; kept for the next to ask. */
const pairs = (seen: Observation): readonly Pair[] => {
  if (last.seen === seen) return last.pairs;
  const found: Pair[] = [];
  for (const area of seen.areas)
    for (const pte of seen.ptes)
      if (meet(pte, area) && area.domains.includes(pte.domain)) found.push({ area, pte: cut(pte, area) });
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
    const meets = (a: Stretch, b: Stretch): boolean =>
      a.memory === b.memory && a.offset < b.offset + b.length && b.offset < a.offset + a.length;
    const found: Counterexample[] = [];
    for (const pte of seen.ptes)
      if (seen.revoked.some((stretch) => meets(pte, stretch)))
        found.push(breach(pte, `${at(pte)} is mapped, but its owner has taken it back`));
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
    const short = seen.unmaps.filter((call) => call.asked !== call.cleared);
    const renewed = (a: Range, b: Range): boolean => seen.maps.some((map) => clash(map, a) && clash(map, b));
    const again = asked(seen).filter((call, i, calls) =>
      calls.slice(0, i).some((before) => clash(before, call) && !renewed(before, call)),
    );
    return [
      ...short.map((it) => breach(it, `${hex(it.cleared)} of ${hex(it.asked)} bytes were there to be unmapped`)),
      ...again.map((call) => breach(call, 'was unmapped in this step already, and not mapped since')),
    ];
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
    if (!seen.keepsMmio) return found;
    const part = (area: AreaSeen, call: Range): boolean => area.iova !== call.iova || area.length !== call.length;
    for (const call of [...seen.maps, ...asked(seen)])
      if (seen.areas.some((it) => it.slice && meet(it, call) && it.domains.includes(call.domain) && part(it, call)))
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
      const own = seen.areas.filter((area) => area.domains.includes(pte.domain));
      if (own.some((it) => it.iova <= pte.iova && pte.iova + pte.length <= it.iova + it.length)) continue;
      const taken = own.map(({ iova, length }): Interval => [iova, iova + length - 1n]);
      for (const [iova] of gaps(taken, pte.iova, pte.iova + pte.length - 1n))
        found.push(breach({ ...pte, iova }, 'is translated, but no area is there'));
    }
    return found;
  },
};

/** The core of what this project checks. */
export const invariants: readonly Invariant[] = [neverMappedWhileRevoked, noDoubleUnmap, oneMmioRange, subPageOffsets];
