/**
 * The structures of iommufd's ioctls, and what their fields may say.
 *
 * Source: iommufd 7.1, 7.2, 7.4
 */
import { layout, s32, u16, u32, wide } from './layout.ts';

export const IOMMU_DESTROY = layout('iommu_destroy', 8, 8, { size: u32(0), id: u32(4) });

export const IOMMU_IOAS_ALLOC = layout('iommu_ioas_alloc', 12, 12, {
  size: u32(0),
  flags: u32(4),
  out_ioas_id: u32(8),
});

export const IOMMU_IOAS_IOVA_RANGES = layout('iommu_ioas_iova_ranges', 32, 32, {
  size: u32(0),
  ioas_id: u32(4),
  num_iovas: u32(8),
  __reserved: u32(12),
  allowed_iovas: wide(16),
  out_iova_alignment: wide(24),
});

/** An element of the arrays of IOVA_RANGES and ALLOW_IOVAS. */
export const IOMMU_IOVA_RANGE = layout('iommu_iova_range', 16, 16, { start: wide(0), last: wide(8) });

export const IOMMU_IOAS_ALLOW_IOVAS = layout('iommu_ioas_allow_iovas', 24, 24, {
  size: u32(0),
  ioas_id: u32(4),
  num_iovas: u32(8),
  __reserved: u32(12),
  allowed_iovas: wide(16),
});

export const IOMMU_IOAS_MAP = layout('iommu_ioas_map', 40, 40, {
  size: u32(0),
  flags: u32(4),
  ioas_id: u32(8),
  __reserved: u32(12),
  user_va: wide(16),
  length: wide(24),
  iova: wide(32),
});

export const IOMMU_IOAS_MAP_FILE = layout('iommu_ioas_map_file', 40, 40, {
  size: u32(0),
  flags: u32(4),
  ioas_id: u32(8),
  fd: s32(12),
  start: wide(16),
  length: wide(24),
  iova: wide(32),
});

export const IOMMU_IOAS_COPY = layout('iommu_ioas_copy', 40, 40, {
  size: u32(0),
  flags: u32(4),
  dst_ioas_id: u32(8),
  src_ioas_id: u32(12),
  length: wide(16),
  dst_iova: wide(24),
  src_iova: wide(32),
});

export const IOMMU_IOAS_UNMAP = layout('iommu_ioas_unmap', 24, 24, {
  size: u32(0),
  ioas_id: u32(4),
  iova: wide(8),
  length: wide(16),
});

export const IOMMU_OPTION = layout('iommu_option', 24, 24, {
  size: u32(0),
  option_id: u32(4),
  op: u16(8),
  __reserved: u16(10),
  object_id: u32(12),
  val64: wide(16),
});

export const IOMMU_IOAS_CHANGE_PROCESS = layout('iommu_ioas_change_process', 8, 8, {
  size: u32(0),
  __reserved: u32(4),
});

export const IOMMU_VFIO_IOAS = layout('iommu_vfio_ioas', 12, 12, {
  size: u32(0),
  ioas_id: u32(4),
  op: u16(8),
  __reserved: u16(10),
});

export const VFIO_IOAS_GET = 0;
export const VFIO_IOAS_SET = 1;
export const VFIO_IOAS_CLEAR = 2;

export const IOMMU_HWPT_ALLOC = layout('iommu_hwpt_alloc', 48, 24, {
  size: u32(0),
  flags: u32(4),
  dev_id: u32(8),
  pt_id: u32(12),
  out_hwpt_id: u32(16),
  __reserved: u32(20),
  data_type: u32(24),
  data_len: u32(28),
  data_uptr: wide(32),
  fault_id: u32(40),
  __reserved2: u32(44),
});

/** No data. */
export const HWPT_DATA_NONE = 0;
