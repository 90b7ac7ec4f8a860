/** ioctl(2): which descriptor it is on decides what its number means. */
import { ctxOf } from '../iommufd/device.ts';
import type { Errno } from '../kernel/errno.ts';
import type { Thread } from '../kernel/thread.ts';
import type { U64 } from '../kernel/units.ts';
import { VfioDeviceFile } from '../vfio/vfio-device.ts';
import type { Caller } from './caller.ts';
import { iommufdIoctl } from './iommufd.ts';
import { vfioDeviceIoctl } from './vfio-device.ts';

/**
 * One call, which holds the file while it runs. `number` is below 2^32; `argument` is mostly an address.
 * Fails: EBADF, ENOTTY for a file that knows no such call; as the call does
 */
export function* ioctl(caller: Caller, fd: number, number: number, argument: U64): Thread<number | Errno> {
  const file = caller.machine.fds.lookup(fd);
  if (file === undefined) return 'EBADF';
  const ctx = ctxOf(file);
  file.get();
  try {
    if (ctx !== undefined) return yield* iommufdIoctl(caller, ctx, number, argument);
    if (file.what instanceof VfioDeviceFile) return yield* vfioDeviceIoctl(caller, file.what, number, argument);
    return 'ENOTTY';
  } finally {
    file.put();
  }
}
