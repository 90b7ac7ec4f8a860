/** What the tests of a VFIO container share: an iommufd that is one, and its calls in short. */
import { expect } from 'vitest';
import { fromBigint, toBigint } from '../../impl/kernel/units.ts';
import { IOMMU_VFIO_IOAS } from '../../impl/uapi/iommufd-structs.ts';
import * as vfio from '../../impl/uapi/vfio-structs.ts';
import { CONFIG } from './iommufd-rig.ts';
import { type How, n, RawRig } from './raw-rig.ts';

export const TYPE1 = 1n;
export const TYPE1V2 = 3n;

/** What IOMMU_VFIO_IOAS does. */
export const [GET, SET, CLEAR] = [0, 1, 2] as const;

/** A context whose compat IOAS is `ioas`, with memory; dev0 is attached if `domain` says so. */
export class Container extends RawRig {
  constructor(version = TYPE1V2, { domain = true, config = CONFIG } = {}) {
    super(config);
    this.must({ do: 'mem_alloc', as: 'm', length: 0x10_0000n });
    if (domain) this.must({ do: 'vfio_attach', dev: 'dev0', pt: 'ioas' });
    expect(this.compat(SET, this.id()).answer).toBe(0);
    expect(this.value(vfio.VFIO_SET_IOMMU, version)).toBe(0);
  }

  compat(op: number, id = 0, more: object = {}) {
    return this.raw(0x3b88, IOMMU_VFIO_IOAS, { op, ioas_id: id, ...more });
  }

  mapDma(iova: bigint, size: bigint, more: object = {}, how: How = {}) {
    const values = { flags: 3, vaddr: fromBigint(this.address), iova: n(iova), size: n(size), ...more };
    return this.raw(vfio.VFIO_IOMMU_MAP_DMA, vfio.DMA_MAP, values, how).answer;
  }

  unmapDma(iova: bigint, size: bigint, flags = 0, how: How = {}) {
    const values = { flags, iova: n(iova), size: n(size) };
    const { answer, out } = this.raw(vfio.VFIO_IOMMU_UNMAP_DMA, vfio.DMA_UNMAP, values, how);
    return [answer, toBigint(out.size)];
  }

  get address(): bigint {
    const named = this.machine.names.get('m');
    return named?.kind === 'mem' ? toBigint(named.address) : 0n;
  }

  info(argsz: number, bytes = argsz) {
    const how = { size: argsz, bytes, tail: new Array<number>(Math.max(0, bytes - 24)).fill(0xee) };
    return this.raw(vfio.VFIO_IOMMU_GET_INFO, vfio.IOMMU_TYPE1_INFO, {}, how);
  }
}
