/**
 * What the implementation shows: its page tables as the hardware walks them, and the calls that reached its domains.
 * The one place where its numbers become the exact bytes that the model speaks of, and addresses become names of
 * memory.
 */
import type { Domain, DomainCall, Stretch } from '../impl/iommu/domain.ts';
import { IOMMU_CACHE, IOMMU_MMIO, IOMMU_READ, IOMMU_WRITE } from '../impl/iommu/prot.ts';
import { fromBigint, less, max, min, toBigint } from '../impl/kernel/units.ts';
import type { Machine } from '../impl/machine.ts';
import type { Observation, Pte } from '../model/invariants.ts';
import type { IommuCall, Reach } from '../trace/answer.ts';
import type { Handle, Prot } from '../trace/command.ts';

const PROTS: readonly Prot[] = ['', 'r', 'w', 'rw'];
const protOf = (bits: number): Prot => PROTS[bits & (IOMMU_READ | IOMMU_WRITE)] as Prot;

/** What a domain translates in [first, last], as far as it lies in the aperture, ascending. */
export function translations(machine: Machine, domain: Domain, first: bigint, last: bigint): Pte[] {
  const from = max(fromBigint(first), domain.iommu.apertureFirst);
  const to = min(fromBigint(last), domain.iommu.apertureLast);
  if (less(to, from)) return [];
  return domain.stretches(from, to).map((stretch) => pteOf(machine, domain.name, stretch));
}

function pteOf(machine: Machine, domain: string, { iova, phys, length, prot }: Stretch): Pte {
  const place = machine.placeOf(phys);
  return {
    domain,
    iova: toBigint(iova),
    memory: place?.memory ?? NOWHERE,
    offset: BigInt(place?.offset ?? phys),
    length: BigInt(length),
    prot: protOf(prot),
    mmio: (prot & IOMMU_MMIO) !== 0,
    cache: (prot & IOMMU_CACHE) !== 0,
  };
}

/** Memory that has no name; what lies there is known by its physical address. */
const NOWHERE = '?';

/** Everything that a domain translates. */
export const wholeDomain = (machine: Machine, domain: Domain): Pte[] =>
  translations(machine, domain, toBigint(domain.iommu.apertureFirst), toBigint(domain.iommu.apertureLast));

/** Everything that a device reaches, merged as a trace has it: the treatment of the memory does not show. */
export function reachOf(machine: Machine, device: Handle): Reach[] {
  const domain = machine.domainOf(device);
  if (domain === undefined) return [];
  const rows: [bigint, string, bigint, bigint, Prot][] = [];
  for (const { iova, memory, offset, length, prot } of wholeDomain(machine, domain)) {
    const before = rows.at(-1);
    const [at, of, to, bytes] = before ?? [0n, '', 0n, 0n];
    if (before !== undefined && at + bytes === iova && of === memory && to + bytes === offset && before[4] === prot) {
      before[3] += length;
    } else {
      rows.push([iova, memory, offset, length, prot]);
    }
  }
  return rows.map(([iova, memory, offset, length, prot]) => [iova, target(memory, offset), length, prot]);
}

/** A byte of memory as traces write it. */
export const target = (memory: string, offset: bigint): string => `${memory}+0x${offset.toString(16)}`;

type MapSeen = Observation['maps'][number];

/** The calls that reached the domains, in order. */
export function callsSeen(machine: Machine, calls: readonly DomainCall[]): Pick<Observation, 'maps' | 'unmaps'> {
  const maps: MapSeen[] = [];
  const unmaps: Observation['unmaps'][number][] = [];
  for (const call of calls) {
    if (call.op === 'map') maps.push(mapSeen(machine, call));
    else unmaps.push(unmapSeen(call));
  }
  return { maps, unmaps };
}

function mapSeen(machine: Machine, call: Extract<DomainCall, { op: 'map' }>): MapSeen {
  const { domain, iova, phys, length, prot } = call;
  const place = machine.placeOf(phys);
  return {
    domain: domain.name,
    iova: toBigint(iova),
    memory: place?.memory ?? NOWHERE,
    offset: BigInt(place?.offset ?? phys),
    length: BigInt(length),
    mmio: (prot & IOMMU_MMIO) !== 0,
  };
}

const unmapSeen = ({
  domain,
  iova,
  length,
  asked,
}: Extract<DomainCall, { op: 'unmap' }>): Observation['unmaps'][number] => ({
  domain: domain.name,
  iova: toBigint(iova),
  length: BigInt(asked),
  cleared: BigInt(length),
});

/** The calls as a trace has them. */
export const tracedCalls = (machine: Machine, calls: readonly DomainCall[]): IommuCall[] =>
  calls.map((call) => {
    if (call.op === 'unmap') return ['unmap', toBigint(call.iova), BigInt(call.length)];
    const { iova, memory, offset, length } = mapSeen(machine, call);
    return ['map', iova, target(memory, offset), length];
  });
