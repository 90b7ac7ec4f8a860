/**
 * What a test build of the kernel adds for tests without hardware: mock devices, made through a context, which they do
 * not keep open.
 *
 * Source: drivers/iommu/iommufd/selftest.c
 */

import type { DmaDevice, IommuGroup, ReservedRegion } from '../iommu/group.ts';
import { type Errno, isErrno } from '../kernel/errno.ts';
import { free } from '../kernel/poison.ts';
import type { Thread } from '../kernel/thread.ts';
import { type IommufdCtx, IommufdObject } from './context.ts';
import {
  type IommufdDevice,
  iommufdDeviceAttach,
  iommufdDeviceBind,
  iommufdDeviceDetach,
  iommufdDeviceUnbind,
} from './device.ts';
import { NEST_PARENT } from './hw-pagetable.ts';

/** `mock_dev`: alone in its group. */
export class MockDevice implements DmaDevice {
  readonly name: string;
  readonly group: IommuGroup;
  readonly reserved: readonly ReservedRegion[];
  readonly selftest = true;
  readonly hwptFlags = NEST_PARENT;
  readonly dirtyTracking = true;
  /** While it is bound. */
  iommufdDevice: IommufdDevice | undefined;

  constructor(name: string, group: IommuGroup, reserved: readonly ReservedRegion[]) {
    this.name = name;
    this.group = group;
    this.reserved = reserved;
  }
}

/** `selftest_obj`: a mock device that is bound and attached, until somebody destroys this object. */
export class SelftestDevice extends IommufdObject {
  readonly kind = 'selftest';
  readonly device: MockDevice;
  readonly idev: IommufdDevice;

  constructor(device: MockDevice, idev: IommufdDevice) {
    super(idev.ctx);
    this.device = device;
    this.idev = idev;
  }

  /** iommufd_selftest_destroy() */
  *destroy(): Thread {
    yield* iommufdDeviceDetach(this.idev);
    yield* unbind(this.device, this.idev);
    free(this, 'selftest_obj');
  }
}

/**
 * IOMMU_TEST_OP_MOCK_DOMAIN: bind the device and attach it, to a HWPT or through the automatic one of an IOAS.
 * Fails: ENOMEM, and as iommufd_device_attach(); then the device is bound to nothing
 */
export function* iommufdTestMockDomain(
  ctx: IommufdCtx,
  ptId: number,
  device: MockDevice,
): Thread<SelftestDevice | Errno> {
  const idev = yield* iommufdDeviceBind(ctx, device);
  if (isErrno(idev)) return idev;
  device.iommufdDevice = idev;
  const refused = yield* iommufdDeviceAttach(idev, ptId);
  if (refused !== undefined) {
    yield* unbind(device, idev);
    return refused;
  }
  const made = new SelftestDevice(device, idev);
  const full = ctx.add(made);
  if (full === undefined) return made;
  yield* made.destroy();
  return full;
}

function* unbind(device: MockDevice, idev: IommufdDevice): Thread {
  yield* iommufdDeviceUnbind(idev);
  device.iommufdDevice = undefined;
}
