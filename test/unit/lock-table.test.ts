/**
 * The acquisition table: which locks each operation takes, in which order, and what is nested in what. Recorded from
 * the wait points of the running operation, and compared with the documented row.
 *
 * Source: iommufd 4.3
 */
import { expect, test } from 'vitest';
import type { Command } from '../../trace/command.ts';
import { A, attached, mapFileOf, OK, Rig } from './iommufd-rig.ts';
import { locksOf } from './lock-recorder.ts';

const buffer = (more: readonly Command[] = []): Rig => attached([mapFileOf(), ...more]);
const memory: Command = { do: 'mem_alloc', as: 'm', length: 0x4000n };
const memfd: Command = { do: 'memfd_create', as: 'f', length: 0x4000n };
const map: Command = { do: 'ioas_map', ioas: 'ioas', mem: 'm', offset: 0n, length: 0x4000n, prot: 'rw', iova: 0n };
const attach: Command = { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' };
const detach: Command = { do: 'vfio_detach', dev: 'dev0' };
const hwpt: Command = { do: 'hwpt_alloc', dev: 'dev0', ioas: 'ioas', as: 'hwpt' };
const copy: Command = {
  do: 'ioas_copy',
  dst: 'ioas',
  src: 'ioas',
  src_iova: A + 0x2000n,
  length: 0x4000n,
  dst_iova: 0x200_0000n,
  prot: 'rw',
};
const testBuffer: Command = { do: 'mock_dmabuf', as: 'test', length: 0x4000n };
/** Right above the one that `buffer` maps. */
const mapNext: Command = { ...mapFileOf(), iova: A + 0x4000n };

const DMABUF = 'pages.mutex/dmabuf';
const PLACE_FILL_PUBLISH = 'iova_rwsem(W) → domains_rwsem(R) ⊃';
const RELEASE = 'dma_resv → dma_resv';
const ADD = 'domains_rwsem(W) ⊃ iova_rwsem(W)';

interface Row {
  readonly operation: string;
  readonly world: () => Rig;
  readonly command: Command;
  readonly answer?: unknown;
  readonly locks: string;
}

const ROWS: readonly Row[] = [
  {
    operation: 'IOVA_RANGES',
    world: () => new Rig(),
    command: { do: 'ioas_iova_ranges', ioas: 'ioas' },
    answer: { ok: { alignment: 1n, ranges: [[0n, 2n ** 64n - 1n]] } },
    locks: 'iova_rwsem(R)',
  },
  {
    operation: 'ALLOW_IOVAS',
    world: () => new Rig(),
    command: { do: 'ioas_allow_iovas', ioas: 'ioas', ranges: [[0x1000n, 0x1fffn]] },
    locks: 'iova_rwsem(W)',
  },
  ...[false, true].map(
    (enable): Row => ({
      operation: `HUGE_PAGES set, ${enable ? 'on' : 'off'}`,
      world: () => new Rig(),
      command: { do: 'ioas_option_huge_pages', ioas: 'ioas', enable },
      locks: ADD,
    }),
  ),
  {
    operation: 'MAP',
    world: () => attached([memory]),
    command: map,
    answer: { ok: { iova: 0n } },
    locks: `${PLACE_FILL_PUBLISH} [ pages.mutex ⊃ mmap_lock(R) → iova_rwsem(W) ]`,
  },
  {
    operation: 'MAP without a domain',
    world: () => {
      const rig = new Rig();
      rig.must(memory);
      return rig;
    },
    command: map,
    answer: { ok: { iova: 0n } },
    locks: `${PLACE_FILL_PUBLISH} iova_rwsem(W)`,
  },
  {
    operation: 'MAP_FILE(FILE)',
    world: () => attached([memfd]),
    command: { ...mapFileOf(), fd: 'f' },
    answer: { ok: { iova: A } },
    locks: `${PLACE_FILL_PUBLISH} [ pages.mutex → iova_rwsem(W) ]`,
  },
  {
    operation: 'MAP_FILE(DMABUF)',
    world: attached,
    command: mapFileOf(),
    answer: { ok: { iova: A } },
    locks: `dma_resv → dma_resv → ${PLACE_FILL_PUBLISH} [ ${DMABUF} → iova_rwsem(W) ]`,
  },
  {
    operation: 'COPY, of two pieces',
    world: () => buffer([mapNext]),
    command: copy,
    answer: { ok: { iova: 0x200_0000n } },
    locks: `iova_rwsem(R) → ${PLACE_FILL_PUBLISH} [ ${DMABUF} → ${DMABUF} → iova_rwsem(W) ]`,
  },
  {
    operation: 'UNMAP, of one area and the gap behind it',
    world: buffer,
    command: { do: 'ioas_unmap', ioas: 'ioas', iova: A, length: 0x10000n },
    answer: { ok: { length: 0x4000n } },
    locks: `domains_rwsem(R) ⊃ [ iova_rwsem(W) → ${DMABUF} → iova_rwsem(W) → ${RELEASE} → iova_rwsem(W) ]`,
  },
  {
    operation: 'domain add (HWPT_ALLOC), with two areas',
    world: () => buffer([memory, map]),
    command: hwpt,
    locks: `ioas.mutex ⊃ ${ADD} ⊃ [ pages.mutex → ${DMABUF} ]`,
  },
  {
    operation: 'domain remove (DESTROY hwpt), with two areas',
    world: () => buffer([memory, map, hwpt]),
    command: { do: 'destroy', obj: 'hwpt' },
    locks: `ioas.mutex → ${ADD} ⊃ [ pages.mutex → ${DMABUF} ]`,
  },
  {
    operation: 'device attach, with an automatic domain and two areas',
    world: () => buffer([detach, memory, map]),
    command: attach,
    locks:
      'dev_set.lock ⊃ ioas.mutex ⊃ [ igroup.lock ⊃ [ iova_rwsem(W) → iommu_group.mutex ] → ' +
      `${ADD} ⊃ [ pages.mutex ⊃ mmap_lock(R) → ${DMABUF} ] ]`,
  },
  {
    operation: 'device attach, to a HWPT, which is filled already',
    world: () => buffer([hwpt, detach]),
    command: { do: 'vfio_attach', dev: 'dev0', pt: 'hwpt' },
    locks: 'dev_set.lock ⊃ igroup.lock ⊃ [ iova_rwsem(W) → iommu_group.mutex ]',
  },
  {
    operation: 'device replace, to an IOAS with a new automatic domain',
    world: () => buffer([{ do: 'ioas_alloc', ctx: 'ctx', as: 'other' }]),
    command: { do: 'vfio_attach', dev: 'dev0', pt: 'other' },
    locks:
      `dev_set.lock ⊃ [ ioas.mutex ⊃ [ ${ADD} → igroup.lock ⊃ ` +
      `[ iova_rwsem(W) → iova_rwsem(W) → iommu_group.mutex ] ] → ioas.mutex → ${ADD} ⊃ ${DMABUF} ]`,
  },
  {
    operation: 'device detach, with an automatic domain',
    world: buffer,
    command: detach,
    locks: `dev_set.lock ⊃ [ igroup.lock ⊃ [ iommu_group.mutex → iova_rwsem(W) ] → ioas.mutex → ${ADD} ⊃ ${DMABUF} ]`,
  },
  {
    operation: 'revoke, of two buffers of one device',
    world: () => {
      const rig = buffer();
      rig.export('other', [[0n, 0x1000n]]);
      return rig;
    },
    command: { do: 'vfio_memory', dev: 'dev0', enable: false },
    locks: `memory_lock(W) ⊃ [ i_mmap_rwsem(R) → dma_resv ⊃ ${DMABUF} → dma_resv ]`,
  },
  {
    operation: 'revoke, of a test buffer',
    world: () => attached([testBuffer, { ...mapFileOf(), fd: 'test' }]),
    command: { do: 'mock_revoke', fd: 'test', revoked: true },
    locks: `dma_resv ⊃ ${DMABUF}`,
  },
  {
    operation: 'MOCK_DOMAIN, of an IOAS with one area',
    world: () => {
      const rig = new Rig();
      rig.mapFile();
      return rig;
    },
    command: { do: 'mock_domain', ioas: 'ioas', as: 'h', dev: 'md' },
    locks:
      'iommu_group.mutex → ioas.mutex ⊃ [ igroup.lock ⊃ [ iova_rwsem(W) → iommu_group.mutex ] → ' +
      `${ADD} ⊃ ${DMABUF} ]`,
  },
  {
    operation: 'DESTROY of a mock device, the last of its automatic domain',
    world: () => {
      const rig = new Rig();
      rig.must(mapFileOf(), { do: 'mock_domain', ioas: 'ioas', as: 'h', dev: 'md' });
      return rig;
    },
    command: { do: 'mock_domain_destroy', dev: 'md' },
    locks: `igroup.lock ⊃ [ iommu_group.mutex → iova_rwsem(W) ] → ioas.mutex → ${ADD} ⊃ ${DMABUF} → iommu_group.mutex`,
  },
  {
    operation: 'pages release, after MAP_FILE found its IOVA taken',
    world: buffer,
    command: mapFileOf(),
    answer: { err: 'EEXIST' },
    locks: `dma_resv → dma_resv → iova_rwsem(W) → ${RELEASE}`,
  },
  {
    operation: 'pages release, with the IOAS of the last area',
    world: () => buffer([detach]),
    command: { do: 'destroy', obj: 'ioas' },
    locks: `domains_rwsem(R) ⊃ [ iova_rwsem(W) → ${DMABUF} → iova_rwsem(W) → ${RELEASE} → iova_rwsem(W) ]`,
  },
];

test.each(ROWS.map((row) => [row.operation, row] as const))(
  '%s takes the locks of its row, in that order',
  (_, row) => {
    const { world, command, answer = OK, locks } = row;
    expect(locksOf(world(), command, answer)).toBe(locks);
  },
);
