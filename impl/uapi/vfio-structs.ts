/**
 * The structures of VFIO's ioctls, on a device and on what was once a container, and their numbers. Both have numbers
 * in common; the descriptor decides.
 *
 * Source: iommufd 7.1, 7.3, 7.4; vfio-dmabuf 10.1 to 10.3
 */
import { layout, s32, u16, u32, wide } from './layout.ts';

export const VFIO_GET_API_VERSION = 0x3b64;
export const VFIO_CHECK_EXTENSION = 0x3b65;
export const VFIO_SET_IOMMU = 0x3b66;
export const VFIO_IOMMU_GET_INFO = 0x3b70;
export const VFIO_IOMMU_MAP_DMA = 0x3b71;
export const VFIO_IOMMU_UNMAP_DMA = 0x3b72;

export const VFIO_DEVICE_RESET = 0x3b6f;
export const VFIO_DEVICE_PCI_HOT_RESET = 0x3b71;
export const VFIO_DEVICE_FEATURE = 0x3b75;
export const VFIO_DEVICE_BIND_IOMMUFD = 0x3b76;
export const VFIO_DEVICE_ATTACH_IOMMUFD_PT = 0x3b77;
export const VFIO_DEVICE_DETACH_IOMMUFD_PT = 0x3b78;

export const DMA_MAP = layout('vfio_iommu_type1_dma_map', 32, 32, {
  argsz: u32(0),
  flags: u32(4),
  vaddr: wide(8),
  iova: wide(16),
  size: wide(24),
});

export const VFIO_DMA_MAP_FLAG_READ = 1;
export const VFIO_DMA_MAP_FLAG_WRITE = 2;

export const DMA_UNMAP = layout('vfio_iommu_type1_dma_unmap', 24, 24, {
  argsz: u32(0),
  flags: u32(4),
  iova: wide(8),
  size: wide(16),
});

export const VFIO_DMA_UNMAP_FLAG_ALL = 2;

export const IOMMU_TYPE1_INFO = layout('vfio_iommu_type1_info', 24, 16, {
  argsz: u32(0),
  flags: u32(4),
  iova_pgsizes: wide(8),
  cap_offset: u32(16),
  pad: u32(20),
});

export const VFIO_IOMMU_INFO_PGSIZES = 1;
export const VFIO_IOMMU_INFO_CAPS = 2;

/** A capability in the chain behind the info; `next` counts from the start of the info, and 0 ends the chain. */
export const INFO_CAP_HEADER = layout('vfio_info_cap_header', 8, 8, { id: u16(0), version: u16(2), next: u32(4) });

export const CAP_IOVA_RANGE = layout('vfio_iommu_type1_info_cap_iova_range', 16, 16, {
  ...INFO_CAP_HEADER.fields,
  nr_iovas: u32(8),
  reserved: u32(12),
});

/** The elements of its array: `vfio_iova_range`, with an inclusive end. */
export const IOVA_RANGE = layout('vfio_iova_range', 16, 16, { start: wide(0), end: wide(8) });

export const CAP_DMA_AVAIL = layout('vfio_iommu_type1_info_dma_avail', 12, 12, {
  ...INFO_CAP_HEADER.fields,
  avail: u32(8),
});

export const CAP_ID_IOVA_RANGE = 1;
export const CAP_ID_DMA_AVAIL = 3;

export const BIND_IOMMUFD = layout('vfio_device_bind_iommufd', 24, 16, {
  argsz: u32(0),
  flags: u32(4),
  iommufd: s32(8),
  out_devid: u32(12),
  token_uuid_ptr: wide(16),
});

export const VFIO_DEVICE_BIND_FLAG_TOKEN = 1;
/** A token, where there is one, is a UUID. */
export const TOKEN_BYTES = 16;

export const ATTACH_IOMMUFD_PT = layout('vfio_device_attach_iommufd_pt', 16, 12, {
  argsz: u32(0),
  flags: u32(4),
  pt_id: u32(8),
  pasid: u32(12),
});

export const DETACH_IOMMUFD_PT = layout('vfio_device_detach_iommufd_pt', 12, 8, {
  argsz: u32(0),
  flags: u32(4),
  pasid: u32(8),
});

/** Of attach and detach. */
export const PASID_FLAG = 1;

/** Its data follow. */
export const DEVICE_FEATURE = layout('vfio_device_feature', 8, 8, { argsz: u32(0), flags: u32(4) });

export const FEATURE_MASK = 0xffff;
export const FEATURE_GET = 1 << 16;
export const FEATURE_SET = 1 << 17;
export const FEATURE_PROBE = 1 << 18;

export const FEATURE_LOW_POWER_ENTRY = 3;
export const FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP = 4;
export const FEATURE_LOW_POWER_EXIT = 5;
export const FEATURE_DMA_BUF = 11;
/** Numbers of the unmerged series, which 7.3 has given away meanwhile. */
export const FEATURE_DMA_BUF_REVOKE = 13;
export const FEATURE_DMA_BUF_MEMATTR = 14;

export const FEATURE_DATA_WAKEUP = layout('vfio_device_low_power_entry_with_wakeup', 8, 8, {
  wakeup_eventfd: s32(0),
  reserved: u32(4),
});

/** Its ranges follow. */
export const FEATURE_DATA_DMA_BUF = layout('vfio_device_feature_dma_buf', 16, 16, {
  region_index: u32(0),
  open_flags: u32(4),
  flags: u32(8),
  nr_ranges: u32(12),
});

export const FEATURE_DATA_DMA_BUF_REVOKE = layout('vfio_device_feature_dma_buf_revoke', 4, 4, { dmabuf_fd: s32(0) });

export const FEATURE_DATA_DMA_BUF_MEMATTR = layout('vfio_device_feature_dma_buf_memattr', 8, 8, {
  dmabuf_fd: s32(0),
  memattr: u32(4),
});

export const REGION_DMA_RANGE = layout('vfio_region_dma_range', 16, 16, { offset: wide(0), length: wide(8) });

/** Descriptors of groups follow, where there are groups. */
export const PCI_HOT_RESET = layout('vfio_pci_hot_reset', 12, 12, { argsz: u32(0), flags: u32(4), count: u32(8) });
