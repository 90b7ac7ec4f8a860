import * as execute from '../../impl/execute.ts';
import type { Domain } from '../../impl/iommu/domain.ts';
import { IOMMU_MMIO } from '../../impl/iommu/prot.ts';
import type { Area } from '../../impl/iommufd/area.ts';
import { Ioas } from '../../impl/iommufd/ioas.ts';
import { isFreed } from '../../impl/kernel/poison.ts';
import { preempt, running, type Thread } from '../../impl/kernel/thread.ts';
import { add, bytes, type Iova, PAGE_SIZE, toNumber } from '../../impl/kernel/units.ts';
import type { Machine } from '../../impl/machine.ts';
import type { Invariant } from '../../model/invariants.ts';
import { exporterOf } from '../../properties/races/births.ts';
import type { Command } from '../../trace/command.ts';
import { type Patch, patch } from './patch.ts';

export interface Moment {
  readonly bug: string;
  readonly breaks: Invariant;
  /** Two that meet it, in `PREFIX`; the second takes something back. */
  readonly calls: readonly [call: Command, revoke: Command];
  readonly patches: readonly Patch[];
}

/** Of programs, and of raced faults; whoever is alone does all right. */
export const isRaced = (): boolean => /^(branch|call|revoke)/.test(running()?.name ?? '');

/** What a domain translates, or did, of an area of a buffer. */
interface Mapped {
  readonly domain: Domain;
  readonly iova: Iova;
  readonly phys: number;
  readonly length: number;
  readonly prot: number;
  /** Of the buffer. */
  readonly end: number;
}

export function* mapped({ contexts }: Machine): Generator<Mapped> {
  for (const { objects } of contexts) {
    for (const object of objects) {
      if (!(object instanceof Ioas)) continue;
      for (const area of object.iopt.areas.all()) for (const domain of object.iopt.domains) yield* within(area, domain);
    }
  }
}

export function* within({ pages, iova, length, index, pageOffset, prot }: Area, domain: Domain): Generator<Mapped> {
  if (pages?.source.kind !== 'dmabuf') return;
  const { dmabuf, startPage } = pages.source;
  const [memory] = exporterOf(dmabuf)?.physVec ?? [];
  if (memory === undefined) return;
  const phys = memory.paddr + (startPage + index) * PAGE_SIZE + pageOffset;
  yield { domain, iova, phys, length: toNumber(length), prot: prot | IOMMU_MMIO, end: memory.paddr + memory.len };
}

export const isThere = ({ domain, iova, length }: Mapped): boolean =>
  !isFreed(domain) && domain.stretches(iova, add(iova, bytes(length - 1))).length > 0;

/** One of them is mapped as it was not, and then no more. */
export function* left(machine: Machine): Thread {
  for (const it of mapped(machine)) {
    if (isThere(it)) continue;
    yield* forAStep({ ...it, length: it.domain.granule });
    return;
  }
}

export function* forAStep(it: Mapped): Thread {
  it.domain.map(it.iova, it.phys, it.length, it.prot);
  yield preempt;
  if (isThere(it)) it.domain.unmap(it.iova, it.length);
}

/** One of them is mapped otherwise, and then as it was, unless somebody has unmapped it meanwhile. */
export const otherwise = (change: (it: Mapped) => Partial<Mapped> | undefined): Wrong =>
  function* (machine) {
    for (const it of mapped(machine)) {
      const changed = change(it);
      if (!isThere(it) || changed === undefined) continue;
      const { domain, iova, length } = it;
      const wrong = { ...it, ...changed };
      domain.unmap(iova, length);
      domain.map(iova, wrong.phys, length, wrong.prot);
      yield preempt;
      if (!isThere(it)) return;
      domain.unmap(iova, length);
      domain.map(iova, it.phys, length, it.prot);
      return;
    }
  };

type Wrong = (machine: Machine) => Thread;

/** Something is wrong when this call is as good as done, whatever it will answer. */
export const after = (call: Command, wrong: Wrong): Patch =>
  patch(
    execute,
    'operation',
    (right) =>
      function* (machine, command) {
        const result = yield* right(machine, command);
        if (isRaced() && command === call) yield* wrong(machine);
        return result;
      },
  );
