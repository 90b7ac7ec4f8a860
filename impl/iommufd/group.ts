/**
 * An IOMMU group as one context knows it: which of its devices are attached, and to what.
 *
 * Source: drivers/iommu/iommufd/iommufd_private.h, struct iommufd_group
 */
import type { IommuGroup } from '../iommu/group.ts';
import { Mutex } from '../kernel/mutex.ts';
import type { IommufdDevice } from './device.ts';
import type { Hwpt } from './hw-pagetable.ts';

export class IommufdGroup {
  readonly group: IommuGroup;
  /** Protects `hwpt` and `attached`. */
  readonly lock = new Mutex('igroup.lock', 'igroup.lock');
  /** What all attached devices are attached to; undefined while none is. */
  hwpt: Hwpt | undefined;
  readonly attached = new Set<IommufdDevice>();
  /** Bound devices; the last takes the group along. */
  devices = 0;

  constructor(group: IommuGroup) {
    this.group = group;
  }
}
