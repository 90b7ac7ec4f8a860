/**
 * What the implementation shows in the middle of a race, as far as nobody holds the lock that guards it: page tables as
 * the hardware walks them, and what each area is to show, said by the user's own arguments and by the exporter. There
 * is no model in between: it does not know how far a call has come.
 */
import type { Domain } from '../../impl/iommu/domain.ts';
import type { Area } from '../../impl/iommufd/area.ts';
import { Ioas } from '../../impl/iommufd/ioas.ts';
import type { DmabufSource, Pages } from '../../impl/iommufd/pages.ts';
import { PAGE_SIZE, toBigint, toNumber } from '../../impl/kernel/units.ts';
import type { Machine, Place } from '../../impl/machine.ts';
import type { AreaSeen, Observation, Pte, Range, Stretch } from '../../model/observation.ts';
import { wholeDomain } from '../observe.ts';
import { type Births, exporterOf } from './births.ts';
import { memoryOn } from './rules.ts';

/** All pages objects, even those whose areas are in set-up or teardown. */
export const livePages = ({ kernel }: Machine): Iterable<Pages> =>
  kernel.live.pages as Iterable<unknown> as Iterable<Pages>;

/**
 * Everything, as `guard` has it: what is under a lock of that name that somebody holds is left out, with its PTEs.
 * `pagesOf` says whose each area is.
 */
export function sight(
  machine: Machine,
  births: Births,
  pagesOf: ReadonlyMap<Area, Pages>,
  guard: string,
): Omit<Observation, 'maps' | 'unmaps'> {
  const ptes: Pte[] = [];
  const areas: AreaSeen[] = [];
  for (const ctx of machine.contexts) {
    for (const object of ctx.table) {
      if (!(object instanceof Ioas)) continue;
      const hidden: Range[] = [];
      const { iopt } = object;
      const page = iopt.disableLargePages ? BigInt(PAGE_SIZE) : undefined;
      for (const area of iopt.areas.all()) {
        const pages = pagesOf.get(area);
        const seen = pages && !guarded(pages, guard) ? areaSeen(machine, births, area, pages, page) : undefined;
        if (seen === undefined) for (const domain of iopt.domains) hidden.push(rangeOf(area, domain));
        else areas.push(seen);
      }
      for (const domain of iopt.domains) {
        for (const pte of wholeDomain(machine, domain)) ptes.push(...outside(pte, hidden));
      }
    }
  }
  return { ptes, areas, revoked: offMemory(machine), cpu: [], keepsMmio: machine.kernel.features.dmabufKeepsMmio };
}

/** Whose each area is that a domain may translate; of those in set-up and teardown, who is recorded. */
export function owners(machine: Machine): ReadonlyMap<Area, Pages> {
  const found = new Map<Area, Pages>();
  for (const pages of livePages(machine)) {
    if (pages.source.kind === 'dmabuf') for (const area of pages.source.tracker) found.set(area, pages);
    else for (const { area } of pages.domainsItree.all()) found.set(area, pages);
  }
  for (const { table } of machine.contexts) {
    for (const object of table) {
      if (!(object instanceof Ioas)) continue;
      for (const area of object.iopt.areas.all()) if (area.pages) found.set(area, area.pages);
    }
  }
  return found;
}

const GUARDS: Readonly<Record<string, (pages: Pages) => boolean>> = {
  'pages->mutex': ({ mutex }) => mutex.locked,
  dma_resv: ({ source }) => source.kind === 'dmabuf' && source.dmabuf.resv.locked,
};

/** Fails for a lock that nobody has said how to find. */
function guarded(pages: Pages, guard: string): boolean {
  const locked = GUARDS[guard];
  if (locked === undefined) throw new Error(`nobody knows who holds ${guard}`);
  return locked(pages);
}

const rangeOf = ({ iova, length }: Area, domain: Domain): Range => ({
  domain: domain.name,
  iova: toBigint(iova),
  length: toBigint(length),
});

/**
 * Undefined where nobody can tell what it is to show: memory that its process has unmapped meanwhile, and an area that
 * comes or goes. But what the exporter has taken back must show nothing even then.
 */
function areaSeen(
  machine: Machine,
  births: Births,
  area: Area,
  pages: Pages,
  page: bigint | undefined,
): AreaSeen | undefined {
  const { source } = pages;
  const first = toNumber(area.startByte(area.iova));
  const place = placeOf(machine, pages, source.startPage * PAGE_SIZE + first, toNumber(area.length));
  if (place === undefined) return undefined;
  const shot = source.kind === 'dmabuf' && births.isShot(source);
  if (area.pages === undefined && !shot) return undefined;
  const domains = shot || isWhole(area) ? area.iopt.domains : domainsOf(area, source);
  const seen = {
    ...stretchOf(place, toBigint(area.length)),
    domains: domains.map(({ name }) => name),
    iova: toBigint(area.iova),
    shot,
    ...(page !== undefined && { page }),
  };
  const slice = source.kind === 'dmabuf' ? bufferOf(machine, source) : undefined;
  return slice === undefined ? seen : { ...seen, slice };
}

/** No domain comes or goes. */
const isWhole = ({ iopt }: Area): boolean => iopt.domainsRwsem.read.ready();

/** While one does: those that have it already or still. */
const domainsOf = (area: Area, { kind }: Pages['source']): readonly Domain[] =>
  kind === 'dmabuf' ? area.tracked : area.iopt.domains;

const stretchOf = ({ memory, offset }: Place, length: bigint): Stretch => ({ memory, offset: BigInt(offset), length });

/** Where byte `at` of what was mapped lies, and `length` bytes behind it in a row. */
function placeOf(machine: Machine, { source }: Pages, at: number, length: number): Place | undefined {
  switch (source.kind) {
    case 'dmabuf': {
      const buffer = bufferOf(machine, source);
      return buffer && { memory: buffer.memory, offset: Number(buffer.offset) + at };
    }
    case 'file':
      return source.memfd && { memory: source.memfd.backing.name, offset: at };
    case 'user': {
      const ram = source.mm.ramAt(Math.floor(at / PAGE_SIZE));
      const offset = at % PAGE_SIZE;
      if (ram === undefined || offset + length > ram.pages * PAGE_SIZE) return undefined;
      return { memory: ram.backing.name, offset: ram.index * PAGE_SIZE + offset };
    }
  }
}

/** The one range of a buffer, as its exporter has it. */
function bufferOf(machine: Machine, { dmabuf }: DmabufSource): Stretch | undefined {
  const [range] = exporterOf(dmabuf)?.physVec ?? [];
  const place = range && machine.placeOf(range.paddr);
  return place && stretchOf(place, BigInt(range.len));
}

/** BARs of devices whose memory does not answer, where nobody is about to change that. */
function offMemory({ devices }: Machine): Stretch[] {
  const off: Stretch[] = [];
  for (const [name, device] of devices) {
    if (device.memoryLock.locked || memoryOn(device)) continue;
    for (const [bar, { size }] of device.bars) off.push({ memory: `${name}:${bar}`, offset: 0n, length: BigInt(size) });
  }
  return off;
}

/** What of a translation lies in none of the ranges. */
function outside(pte: Pte, ranges: readonly Range[]): Pte[] {
  let left = [pte];
  for (const range of ranges) if (range.domain === pte.domain) left = left.flatMap((part) => without(part, range));
  return left;
}

function without(pte: Pte, { iova, length }: Range): Pte[] {
  const [end, last] = [pte.iova + pte.length, iova + length];
  if (last <= pte.iova || end <= iova) return [pte];
  const parts: Pte[] = [];
  if (pte.iova < iova) parts.push({ ...pte, length: iova - pte.iova });
  if (last < end) parts.push({ ...pte, iova: last, offset: pte.offset + last - pte.iova, length: end - last });
  return parts;
}
