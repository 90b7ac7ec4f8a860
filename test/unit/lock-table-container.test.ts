/**
 * The rows of the acquisition table that no command of a trace stands for: a VFIO container on an iommufd.
 *
 * Source: iommufd 4.3
 */
import { expect, test } from 'vitest';
import { cutIova } from '../../impl/iommufd/area-split.ts';
import { disableLargePages } from '../../impl/iommufd/large-pages.ts';
import {
  VFIO_TYPE1_IOMMU,
  vfioIoasSet,
  vfioIommuInfo,
  vfioMapDma,
  vfioSetIommu,
  vfioUnmapDma,
} from '../../impl/iommufd/vfio-compat.ts';
import { Task, type Thread } from '../../impl/kernel/thread.ts';
import { bytes, fromBigint } from '../../impl/kernel/units.ts';
import type { Command } from '../../trace/command.ts';
import { A, Rig } from './iommufd-rig.ts';
import { locksOfBranch } from './lock-recorder.ts';

const memory: Command = { do: 'mem_alloc', as: 'm', length: 0x4000n };

/** An IOAS with small pages and memory at A, in a domain; it is what the calls of a container mean. */
function container(): Rig {
  const rig = new Rig();
  rig.call(disableLargePages(rig.ioas().iopt));
  expect(vfioIoasSet(rig.ioas().ctx, rig.ioas().id)).toBeUndefined();
  rig.must({ do: 'vfio_attach', dev: 'dev0', pt: 'ioas' }, memory);
  rig.map('m', 0x4000n, { iova: A });
  return rig;
}

function mapDma(rig: Rig): Thread<unknown> {
  const named = rig.machine.names.get('m');
  const address = named?.kind === 'mem' ? named.address : bytes(0);
  const args = { flags: 7, length: bytes(0x1000), iova: fromBigint(A + 0x8000n) };
  return vfioMapDma(rig.ioas().ctx, args, address, rig.machine.mm, rig.machine.ram);
}

const at = fromBigint;
const REMOVE = 'iova_rwsem(W) → pages.mutex → iova_rwsem(W)';

const removed = { unmapped: bytes(0x1000), failed: undefined };

test.each<[string, (rig: Rig) => Thread<unknown>, unknown, string]>([
  ['VFIO cut', (rig) => cutIova(rig.ioas().iopt, [at(A + 0xfffn)]), undefined, 'iova_rwsem(W) ⊃ pages.mutex'],
  ['VFIO cut, of nothing', (rig) => cutIova(rig.ioas().iopt, [at(A)]), undefined, 'iova_rwsem(W)'],
  [
    'VFIO UNMAP_DMA, of the middle of an area',
    (rig) => vfioUnmapDma(rig.ioas().ctx, false, at(A + 0x1000n), at(0x1000n)),
    removed,
    `iova_rwsem(W) ⊃ [ pages.mutex → pages.mutex ] → domains_rwsem(R) ⊃ [ ${REMOVE} ]`,
  ],
  [
    'VFIO MAP_DMA',
    mapDma,
    undefined,
    'iova_rwsem(W) → domains_rwsem(R) ⊃ [ pages.mutex ⊃ mmap_lock(R) → iova_rwsem(W) ]',
  ],
  [
    'VFIO GET_INFO',
    (rig) => vfioIommuInfo(rig.ioas().ctx),
    expect.objectContaining({ pageSizes: bytes(0x4020_1000) }),
    'domains_rwsem(R) → iova_rwsem(R)',
  ],
  [
    'VFIO SET_IOMMU, of the first version',
    (rig) => vfioSetIommu(rig.ioas().ctx, bytes(VFIO_TYPE1_IOMMU)),
    undefined,
    'domains_rwsem(W) ⊃ iova_rwsem(W)',
  ],
])('%s takes the locks of its row, in that order', (_, thread, answer, locks) => {
  const rig = container();
  const branch = { task: new Task('caller', rig.machine.kernel), thread: thread(rig) };
  expect(locksOfBranch(branch, answer)).toBe(locks);
});
