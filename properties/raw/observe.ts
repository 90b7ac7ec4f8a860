/**
 * What the implementation shows after a raw call, in the words of the invariants. There is no model beside it: where an
 * area must lead is read from what was mapped, whether it is shot from its exporter, and what is translated from the
 * page tables.
 */
import type { Domain, DomainCall } from '../../impl/iommu/domain.ts';
import type { Area } from '../../impl/iommufd/area.ts';
import { Ioas } from '../../impl/iommufd/ioas.ts';
import type { Pages } from '../../impl/iommufd/pages.ts';
import { add, bytes, equal, fromBigint, type Iova, PAGE_SIZE, toBigint } from '../../impl/kernel/units.ts';
import type { Machine } from '../../impl/machine.ts';
import { PCI_COMMAND_MEMORY, PCI_D3HOT } from '../../impl/vfio/pci-device.ts';
import { type VfioPciDmaBuf, vfioPciDmaBufOf } from '../../impl/vfio/pci-dmabuf.ts';
import type { AreaSeen, Observation, Pte, Stretch } from '../../model/invariants.ts';
import { callsSeen, translations } from '../observe.ts';
import { cpuSeen } from '../observe-cpu.ts';

const P = BigInt(PAGE_SIZE);

/** How often the buffer of each pages object had been revoked when it was imported. */
export class Imports {
  readonly #before = new WeakMap<Pages, number>();

  /** Take note of what has just been imported; to be called before anything can revoke it. */
  see({ kernel }: Machine): void {
    for (const live of kernel.live.pages) {
      const pages = live as Pages;
      const buffer = bufferOf(pages);
      if (buffer !== undefined && !this.#before.has(pages)) this.#before.set(pages, buffer.revocations);
    }
  }

  /** Whether the exporter has taken the memory back since then, for a moment or for good. */
  shot(pages: Pages): boolean {
    return bufferOf(pages)?.revocations !== this.#before.get(pages);
  }
}

function bufferOf({ source }: Pages): VfioPciDmaBuf | undefined {
  return source.kind === 'dmabuf' ? vfioPciDmaBufOf(source.dmabuf) : undefined;
}

/** The IOAS of each domain, and the domain by its name. */
function spaces(machine: Machine): { domain: Domain; ioas: Ioas }[] {
  const found: { domain: Domain; ioas: Ioas }[] = [];
  for (const ctx of machine.contexts) {
    for (const ioas of ctx.table) {
      if (ioas instanceof Ioas) for (const domain of ioas.iopt.domains) found.push({ domain, ioas });
    }
  }
  return found;
}

/** What domains translate, and should; what the calls of the step touched, and a page more, or all of it. */
export function observe(machine: Machine, imports: Imports, calls: readonly DomainCall[], whole: boolean): Observation {
  const ptes: Pte[] = [];
  const areas: AreaSeen[] = [];
  const pageByPage = new Map<Domain, Ioas>();
  const { apertureFirst, apertureLast } = machine.iommu;
  const [low, high] = [toBigint(apertureFirst), toBigint(apertureLast)];
  for (const { domain, ioas } of spaces(machine)) {
    if (ioas.iopt.disableLargePages) pageByPage.set(domain, ioas);
    const touched = whole ? { first: low, last: high } : touchedIn(domain, calls);
    if (touched === undefined) continue;
    const near = ioas.iopt.areas.overlapping(at(touched.first, low, high), at(touched.last, low, high));
    // Every area that is touched is seen whole.
    const first = near.reduce((least, { iova }) => lower(least, toBigint(iova)), touched.first);
    const last = near.reduce((most, area) => higher(most, toBigint(area.last)), touched.last);
    ptes.push(...translations(machine, domain, first, last));
    for (const area of near) {
      const seen = seenArea(machine, imports, domain, area);
      if (seen !== undefined) areas.push(seen);
    }
  }
  return {
    ptes,
    areas,
    revoked: revoked(machine),
    cpu: cpuSeen(machine),
    ...callsSeen(machine, joined(calls, pageByPage)),
    keepsMmio: machine.kernel.features.dmabufKeepsMmio,
  };
}

/** Where nothing is mapped in large pages, as many calls as an area has pages stand for one. */
function joined(calls: readonly DomainCall[], pageByPage: ReadonlyMap<Domain, Ioas>): DomainCall[] {
  const all: DomainCall[] = [];
  for (const call of calls) {
    const before = all.at(-1);
    const areas = pageByPage.get(call.domain)?.iopt.areas;
    const goesOn =
      before?.op === 'map' &&
      call.op === 'map' &&
      before.domain === call.domain &&
      before.phys + before.length === call.phys &&
      equal(add(before.iova, bytes(before.length)), call.iova) &&
      areas?.first(before.iova, before.iova) === areas?.first(call.iova, call.iova);
    if (goesOn && areas !== undefined) all[all.length - 1] = { ...before, length: before.length + call.length };
    else all.push(call);
  }
  return all;
}

const lower = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const higher = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const at = (iova: bigint, low: bigint, high: bigint): Iova => fromBigint(lower(higher(iova, low), high));

function touchedIn(domain: Domain, calls: readonly DomainCall[]): { first: bigint; last: bigint } | undefined {
  let touched: { first: bigint; last: bigint } | undefined;
  for (const call of calls) {
    if (call.domain !== domain) continue;
    const from = toBigint(call.iova);
    const to = from + BigInt(call.op === 'unmap' ? call.asked : call.length);
    const first = from < P ? 0n : from - P;
    touched ??= { first, last: to + P };
    if (first < touched.first) touched.first = first;
    if (to + P > touched.last) touched.last = to + P;
  }
  return touched;
}

/** Undefined for an area that is not to be seen, because its pages are being let go of. */
function seenArea(machine: Machine, imports: Imports, domain: Domain, area: Area): AreaSeen | undefined {
  const { pages } = area;
  const place = pages && placeOf(machine, area, pages);
  if (pages === undefined || place === undefined) return undefined;
  const seen = { domains: [domain.name], iova: toBigint(area.iova), ...place, shot: imports.shot(pages) };
  const buffer = bufferOf(pages);
  const [slice] = buffer?.physVec ?? [];
  return slice === undefined ? seen : { ...seen, slice: stretchAt(machine, slice.paddr, BigInt(slice.len)) };
}

/** The memory that an area was made to show. */
function placeOf(machine: Machine, area: Area, pages: Pages): Stretch | undefined {
  const length = toBigint(area.length);
  const from = toBigint(area.startByte(area.iova));
  const { source } = pages;
  switch (source.kind) {
    case 'user': {
      const vma = source.mm.find(source.startPage + area.index);
      if (vma?.backing === undefined) return undefined;
      return { memory: vma.backing.name, offset: from + BigInt(source.startPage - vma.startPage) * P, length };
    }
    case 'file': {
      const memory = source.memfd?.backing.name;
      return memory === undefined ? undefined : { memory, offset: from + BigInt(source.startPage) * P, length };
    }
    case 'dmabuf': {
      const [slice] = bufferOf(pages)?.physVec ?? [];
      if (slice === undefined) return undefined;
      return stretchAt(machine, slice.paddr + source.startPage * PAGE_SIZE + Number(from), length);
    }
  }
}

function stretchAt(machine: Machine, phys: number, length: bigint): Stretch {
  const place = machine.placeOf(phys);
  return { memory: place?.memory ?? '?', offset: BigInt(place?.offset ?? phys), length };
}

/** Memory of devices that do not answer. */
function revoked({ devices }: Machine): Stretch[] {
  const stretches: Stretch[] = [];
  for (const { name, vconfig, power, bars } of devices.values()) {
    const answers = vconfig !== undefined && (vconfig.command & PCI_COMMAND_MEMORY) !== 0 && power < PCI_D3HOT;
    if (answers) continue;
    for (const [bar, { size }] of bars) stretches.push({ memory: `${name}:${bar}`, offset: 0n, length: BigInt(size) });
  }
  return stretches;
}

/** Bytes of live areas that no page table translates; an invariant only speaks of what is translated. */
export function missing({ areas, ptes }: Observation): string[] {
  const lines: string[] = [];
  for (const { domains, iova, length, shot } of areas) {
    if (shot) continue;
    let found = 0n;
    for (const pte of ptes) {
      if (!domains.includes(pte.domain)) continue;
      const first = pte.iova < iova ? iova : pte.iova;
      const end = pte.iova + pte.length < iova + length ? pte.iova + pte.length : iova + length;
      if (first < end) found += end - first;
    }
    if (found !== length)
      lines.push(`${domains.join()} maps 0x${found.toString(16)} bytes of the area at 0x${iova.toString(16)}`);
  }
  return lines;
}

/** How much of everything there is; a call that was refused must not change it. */
export function fingerprint(machine: Machine): string {
  const counts: number[] = [machine.fds.size, machine.iommu.domains.size];
  for (const { file, table, groups } of machine.contexts) {
    if (file.references === 0) continue; // Released; the next audit forgets it.
    counts.push(file.references, groups.size);
    for (const object of table) {
      if (object === undefined) continue;
      counts.push(object.id, object.users);
      if (!(object instanceof Ioas)) continue;
      const { areas, reserved, domains, alignment, disableLargePages } = object.iopt;
      counts.push(areas.size, reserved.size, domains.length, alignment, disableLargePages ? 1 : 0);
    }
  }
  for (const kind of ['files', 'pages'] as const) {
    for (const live of machine.kernel.live[kind]) counts.push(live.references);
  }
  let pinned = 0;
  for (const backing of machine.ram.backings) pinned += backing.pinned;
  for (const device of machine.devices.values()) {
    counts.push(device.openCount, device.iommufdAttached ? 1 : 0, device.registration.count, device.pmUsage);
  }
  return `${counts.join()} ${pinned}`;
}
