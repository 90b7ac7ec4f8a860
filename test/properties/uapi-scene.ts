/** One machine for the properties of framing, made as often as a property needs, and a good call of each kind on it. */
import {
  IOMMU_DESTROY,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_UNMAP,
  IOMMU_VFIO_IOAS,
} from '../../impl/uapi/iommufd-structs.ts';
import type { Fields, Layout, Values } from '../../impl/uapi/layout.ts';
import { A } from '../unit/iommufd-rig.ts';
import { ARRAY, type How, n, RawRig } from '../unit/raw-rig.ts';

/** An IOAS in a domain, with a buffer at A and a page of memory behind it; `spare` is an IOAS that nobody uses. */
export class Scene extends RawRig {
  constructor() {
    super();
    this.must(
      { do: 'vfio_attach', dev: 'dev0', pt: 'ioas' },
      { do: 'ioas_alloc', ctx: 'ctx', as: 'spare' },
      { do: 'mem_alloc', as: 'm', length: 0x10000n },
    );
    this.mapFile();
    this.map('m', 0x1000n, { iova: A + 0x4000n });
    this.calls();
  }

  /** All that a call can change. */
  get whole(): unknown {
    return [this.state(['dev0'], ['ioas', 'spare']), this.ioas().ctx.vfioIoas?.id];
  }
}

export interface Good {
  readonly name: string;
  readonly number: number;
  readonly layout: Layout;
  readonly values: (scene: Scene) => Partial<Values<Fields>>;
  /** Whether a number that cannot be told undoes the call; undefined where nothing is told. */
  readonly told?: 'undone' | 'kept' | 'nothing changed';
}

const row = <F extends Fields>(
  name: string,
  number: number,
  layout: Layout<F>,
  values: (scene: Scene) => Partial<Values<F>>,
  told?: Good['told'],
): Good => ({ name, number, layout, values: values as Good['values'], ...(told && { told }) });

const memoryOf = (scene: Scene) => {
  const named = scene.machine.names.get('m');
  return named?.kind === 'mem' ? named.address : n(0n);
};

/** Calls that succeed. */
export const GOOD: readonly Good[] = [
  row('IOAS_ALLOC', 0x3b81, IOMMU_IOAS_ALLOC, () => ({}), 'undone'),
  row('DESTROY', 0x3b80, IOMMU_DESTROY, (it) => ({ id: it.id('spare') })),
  row(
    'IOVA_RANGES',
    0x3b84,
    IOMMU_IOAS_IOVA_RANGES,
    (it) => ({ ioas_id: it.id(), num_iovas: 4, allowed_iovas: ARRAY }),
    'nothing changed',
  ),
  row(
    'MAP',
    0x3b85,
    IOMMU_IOAS_MAP,
    (it) => ({ flags: 7, ioas_id: it.id(), user_va: memoryOf(it), length: n(0x2000n), iova: n(A + 0x10000n) }),
    'kept',
  ),
  row(
    'MAP_FILE',
    0x3b8f,
    IOMMU_IOAS_MAP_FILE,
    (it) => ({ flags: 6, ioas_id: it.id(), fd: it.fd('buf'), start: n(0x1000n), length: n(0x2000n) }),
    'kept',
  ),
  row(
    'COPY',
    0x3b83,
    IOMMU_IOAS_COPY,
    (it) => ({
      flags: 6,
      src_ioas_id: it.id(),
      dst_ioas_id: it.id('spare'),
      length: n(0x2000n),
      src_iova: n(A + 0x3000n),
    }),
    'kept',
  ),
  row('UNMAP', 0x3b86, IOMMU_IOAS_UNMAP, (it) => ({ ioas_id: it.id(), iova: n(A), length: n(0x5000n) }), 'kept'),
  row('HWPT_ALLOC', 0x3b89, IOMMU_HWPT_ALLOC, (it) => ({ dev_id: it.devId(), pt_id: it.id() }), 'undone'),
  row('VFIO_IOAS', 0x3b88, IOMMU_VFIO_IOAS, (it) => ({ op: 1, ioas_id: it.id() })),
];

/** Make the call; what it answered, what it wrote but for the size, and what there was and is now. */
export function made(good: Good, spoilt: Partial<Values<Fields>>, how: How = {}) {
  const scene = new Scene();
  const before = scene.whole;
  const array = new Uint8Array(64);
  const { answer, out, tail } = scene.raw(
    good.number,
    good.layout,
    { ...good.values(scene), ...spoilt },
    { array, ...how },
  );
  return { answer, out: { ...out, size: 0 }, array: [...array], tail, before, after: scene.whole };
}
