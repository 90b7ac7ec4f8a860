/** The ioctls that raw calls are made from: number, structure, and name in tables. */
import {
  IOMMU_DESTROY,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_CHANGE_PROCESS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_UNMAP,
  IOMMU_OPTION,
  IOMMU_VFIO_IOAS,
} from '../../impl/uapi/iommufd-structs.ts';
import { encode, type Fields, type Layout, layout, type Values } from '../../impl/uapi/layout.ts';
import {
  ATTACH_IOMMUFD_PT,
  BIND_IOMMUFD,
  DETACH_IOMMUFD_PT,
  DEVICE_FEATURE,
  DMA_MAP,
  DMA_UNMAP,
  IOMMU_TYPE1_INFO,
  PCI_HOT_RESET,
  VFIO_CHECK_EXTENSION,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_PCI_HOT_RESET,
  VFIO_DEVICE_RESET,
  VFIO_GET_API_VERSION,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_SET_IOMMU,
} from '../../impl/uapi/vfio-structs.ts';
import type { Kind } from './world.ts';

/** A call whose argument is no address, or none at all. */
const NOTHING = layout('nothing', 0, 0, {});

/** On which descriptor, its number, and its structure. */
const CALLS = {
  IOAS_ALLOC: ['iommufd', 0x3b81, IOMMU_IOAS_ALLOC],
  DESTROY: ['iommufd', 0x3b80, IOMMU_DESTROY],
  IOAS_IOVA_RANGES: ['iommufd', 0x3b84, IOMMU_IOAS_IOVA_RANGES],
  IOAS_ALLOW_IOVAS: ['iommufd', 0x3b82, IOMMU_IOAS_ALLOW_IOVAS],
  IOAS_MAP: ['iommufd', 0x3b85, IOMMU_IOAS_MAP],
  IOAS_MAP_FILE: ['iommufd', 0x3b8f, IOMMU_IOAS_MAP_FILE],
  IOAS_COPY: ['iommufd', 0x3b83, IOMMU_IOAS_COPY],
  IOAS_UNMAP: ['iommufd', 0x3b86, IOMMU_IOAS_UNMAP],
  OPTION: ['iommufd', 0x3b87, IOMMU_OPTION],
  IOAS_CHANGE_PROCESS: ['iommufd', 0x3b92, IOMMU_IOAS_CHANGE_PROCESS],
  HWPT_ALLOC: ['iommufd', 0x3b89, IOMMU_HWPT_ALLOC],
  VFIO_IOAS: ['iommufd', 0x3b88, IOMMU_VFIO_IOAS],
  GET_API_VERSION: ['iommufd', VFIO_GET_API_VERSION, NOTHING],
  CHECK_EXTENSION: ['iommufd', VFIO_CHECK_EXTENSION, NOTHING],
  SET_IOMMU: ['iommufd', VFIO_SET_IOMMU, NOTHING],
  IOMMU_GET_INFO: ['iommufd', VFIO_IOMMU_GET_INFO, IOMMU_TYPE1_INFO],
  IOMMU_MAP_DMA: ['iommufd', VFIO_IOMMU_MAP_DMA, DMA_MAP],
  IOMMU_UNMAP_DMA: ['iommufd', VFIO_IOMMU_UNMAP_DMA, DMA_UNMAP],
  BIND_IOMMUFD: ['device', VFIO_DEVICE_BIND_IOMMUFD, BIND_IOMMUFD],
  ATTACH_PT: ['device', VFIO_DEVICE_ATTACH_IOMMUFD_PT, ATTACH_IOMMUFD_PT],
  DETACH_PT: ['device', VFIO_DEVICE_DETACH_IOMMUFD_PT, DETACH_IOMMUFD_PT],
  FEATURE: ['device', VFIO_DEVICE_FEATURE, DEVICE_FEATURE],
  RESET: ['device', VFIO_DEVICE_RESET, NOTHING],
  PCI_HOT_RESET: ['device', VFIO_DEVICE_PCI_HOT_RESET, PCI_HOT_RESET],
} as const satisfies Readonly<Record<string, readonly [Kind, number, Layout]>>;

export type CallName = keyof typeof CALLS;

export const CALL_NAMES = Object.keys(CALLS) as readonly CallName[];

const byNumber = new Map(CALL_NAMES.map((name) => [`${CALLS[name][0]} ${CALLS[name][1]}`, name]));

/** What a number means on a descriptor. */
export const callName = (kind: Kind | undefined, number: number): CallName | undefined =>
  byNumber.get(`${kind} ${number}`);

export const layoutOf = (name: CallName): Layout => CALLS[name][2];

/** One ioctl as a process makes it, with what lies in its memory. */
export interface RawCall {
  readonly fd: number;
  readonly number: number;
  /** The argument, where it is no address. */
  readonly value?: number;
  /** What lies at ARGUMENTS; the call changes it. */
  readonly bytes: Uint8Array;
  /** Whether the kernel may write there. */
  readonly writable: boolean;
  /** What lies at ARRAYS. */
  readonly array?: Uint8Array;
}

type FieldsOf<N extends CallName> = (typeof CALLS)[N][2] extends Layout<infer F extends Fields> ? F : never;

/** A well-formed call: its structure says its own size, and nothing is in the fields that are not given. */
export function callOf<N extends CallName>(name: N, fd: number, values: Partial<Values<FieldsOf<N>>> = {}): RawCall {
  const [, number, layout] = CALLS[name];
  const bytes = new Uint8Array(layout.size);
  const size = 'size' in layout.fields && layout.fields.size.offset === 0 ? 'size' : 'argsz';
  const whole = size in layout.fields ? { [size]: layout.size, ...values } : values;
  encode(layout as Layout, whole as Values<Fields>, bytes);
  return { fd, number, bytes, writable: true };
}
