/**
 * Groups in a container: VFIO_GROUP_SET_CONTAINER and its end.
 *
 * Source: drivers/vfio/vfio_iommu_type1.c, vfio_iommu_type1_attach_group(), vfio_iommu_type1_detach_group();
 *         drivers/vfio/container.c
 */
import { Domain, type Iommu } from '../iommu/domain.ts';
import type { IommuGroup, ReservedRegion } from '../iommu/group.ts';
import type { Errno } from '../kernel/errno.ts';
import type { Ram } from '../kernel/mm.ts';
import { assertHeld } from '../kernel/mutex.ts';
import { shouldFail, type Thread } from '../kernel/thread.ts';
import { atMost, less } from '../kernel/units.ts';
import { DMA_ENTRY_LIMIT, Type1Container } from './container.ts';
import { pinMapDma } from './map.ts';
import { unmapUnpin } from './unmap.ts';

/** open(2) of `/dev/vfio/vfio`, and VFIO_SET_IOMMU: with VFIO_TYPE1v2_IOMMU unless told otherwise. */
export const openContainer = (name: string, iommu: Iommu, ram: Ram, v2 = true): Type1Container =>
  new Type1Container(name, iommu, ram, v2, release);

/** `vfio_fops_release()`: the last reference is gone, so no device of its groups is open. */
function* release(container: Type1Container): Thread {
  for (const { group } of [...container.groups]) yield* detachGroup(container, group);
}

/**
 * `vfio_container_attach_group()`: the group's DMA goes through the container's domain from now on. The first group
 * makes it, and maps what is mapped already.
 * Locks: takes vfio_iommu.lock, and the group's mutex and mmap_lock inside
 * Fails: EINVAL for a group that is there, or reserves what is mapped; EPERM when another owns its DMA; ENOMEM;
 *        as a map
 */
export function* attachGroup(
  container: Type1Container,
  group: IommuGroup,
  reserved: readonly ReservedRegion[],
): Thread<Errno | undefined> {
  yield container.lock;
  try {
    if (container.groups.some((it) => it.group === group)) return 'EINVAL';
    const refused = (yield* claim(container, group)) ?? (yield* join(container, group, reserved));
    if (refused === 'EPERM' || refused === undefined) return refused;
    yield* disclaim(group);
    return refused;
  } finally {
    container.lock.release();
  }
}

/** `iommu_group_claim_dma_owner()` */
function* claim(container: Type1Container, group: IommuGroup): Thread<Errno | undefined> {
  yield group.mutex;
  try {
    if (group.owner !== undefined) return 'EPERM';
    group.owner = container;
    group.ownerCount = 1;
    return undefined;
  } finally {
    group.mutex.release();
  }
}

function* disclaim(group: IommuGroup): Thread {
  yield group.mutex;
  group.owner = undefined;
  group.ownerCount = 0;
  group.domain = undefined;
  group.mutex.release();
}

/** Locks: caller holds vfio_iommu.lock */
function* join(
  container: Type1Container,
  group: IommuGroup,
  reserved: readonly ReservedRegion[],
): Thread<Errno | undefined> {
  assertHeld(container.lock);
  const { iommu, dmas } = container;
  if (reserved.some(({ start, last }) => dmas.overlapping(start, last).length > 0)) return 'EINVAL';
  for (const { start, last } of dmas.all()) {
    if (less(start, iommu.apertureFirst) || !atMost(last, iommu.apertureLast)) return 'EINVAL';
  }
  if (shouldFail('vfio_iommu_group')) return 'ENOMEM';
  const domain = container.domain ?? (yield* replay(container));
  if (!(domain instanceof Domain)) return domain;
  yield group.mutex;
  group.domain = domain;
  group.mutex.release();
  container.domain = domain;
  container.groups.push({ group, reserved });
  return undefined;
}

/** `vfio_iommu_replay()`: a new domain, with everything that is mapped. Fails: as a map; there is no domain then */
function* replay(container: Type1Container): Thread<Domain | Errno> {
  const domain = new Domain(container.iommu, container.name);
  let failed: Errno | undefined;
  for (const dma of container.dmas.all()) {
    failed = yield* pinMapDma(container, domain, dma);
    if (failed !== undefined) break;
  }
  if (failed === undefined) return domain;
  dropAll(container, domain);
  return failed;
}

/** Whatever the domain translates goes, and the domain with it; the list of mappings stays. */
function dropAll(container: Type1Container, domain: Domain): void {
  for (const dma of container.dmas.all()) unmapUnpin(container, domain, dma);
  domain.destroy();
}

/**
 * `vfio_iommu_type1_detach_group()`: the last group takes the domain along, and with it all mappings
 * (`vfio_iommu_unmap_unpin_all()`).
 * Locks: takes vfio_iommu.lock, and the group's mutex inside
 */
export function* detachGroup(container: Type1Container, group: IommuGroup): Thread {
  yield container.lock;
  try {
    const at = container.groups.findIndex((it) => it.group === group);
    if (at < 0) return;
    container.groups.splice(at, 1);
    yield* disclaim(group);
    const { domain } = container;
    if (container.groups.length > 0 || domain === undefined) return;
    container.domain = undefined;
    dropAll(container, domain);
    for (const dma of container.dmas.all()) container.dmas.remove(dma);
    container.dmaAvail = DMA_ENTRY_LIMIT;
  } finally {
    container.lock.release();
  }
}
