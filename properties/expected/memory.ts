/** What the commands may answer by which the CPU maps memory and looks at it; rows as in the check tables. */
import type { Command } from '../../trace/command.ts';
import { type Entry, never, occurs } from './entry.ts';

/** What mmap(2) sees for itself. The documents have EACCES, too, which is no errno of the format. */
const generic: readonly Entry[] = [
  occurs('EINVAL', 'vfio-dmabuf 4.6 mmap generic', 'no bytes, or from inside a page'),
  occurs('ENOMEM', 'vfio-dmabuf 4.6 mmap generic', 'more than any address space has'),
  occurs('EOVERFLOW', 'vfio-dmabuf 4.6 mmap generic', 'offset and length are beyond the end of any file'),
];

export const memory = {
  bar_mmap: [
    occurs('EBADF', 'traces Values', 'the device is not open'),
    ...generic,
    occurs('EINVAL', 'traces Steps', 'the device is open but not bound'),
    occurs('EINVAL', 'vfio-dmabuf 6.1 #1', 'no region has this number'),
    never('EINVAL', 'vfio-dmabuf 6.1 #2', 'earlier'),
    never('EINVAL', 'vfio-dmabuf 6.1 #3', 'noArgument'),
    never('EINVAL', 'vfio-dmabuf 6.1 #4', 'machine'),
    occurs('EINVAL', 'vfio-dmabuf 6.1 #5', 'a region from 6 on'),
    occurs('EINVAL', 'vfio-dmabuf 6.1 #6', 'a BAR that the device does not have, or that is smaller than a page'),
    occurs('EINVAL', 'vfio-dmabuf 6.1 #7', 'past the end of the BAR'),
    never('ENODEV', 'vfio-dmabuf 6.1 #8', 'machine'),
    never('EBUSY', 'vfio-dmabuf 6.1 #8', 'machine'),
    never('ENOMEM', 'vfio-dmabuf 6.1 #8', 'noFault'),
    occurs('ok', 'vfio-dmabuf 6.1 ok', 'whole pages of a BAR, whether or not the device answers'),
  ],
  fd_mmap: [
    occurs('EBADF', 'traces Values', 'closed, or no step gave it'),
    ...generic,
    occurs(
      'EINVAL',
      'vfio-dmabuf 4.6 mmap core',
      'the exporter has no mmap: a kernel without the series that maps buffers',
    ),
    occurs('EINVAL', 'vfio-dmabuf 4.6 mmap core', 'past the end of the buffer'),
    occurs('ENODEV', 'vfio-dmabuf 6.3 #1', 'a buffer that is revoked, or outlived its device'),
    never('EINVAL', 'vfio-dmabuf 6.3 #2', 'noArgument'),
    occurs('ok', 'vfio-dmabuf 6.3 ok', 'some pages of a buffer that is usable, of one range or two'),
  ],
  peek: [
    occurs('EBADF', 'traces Values', 'unmapped before, or no step gave it'),
    occurs('EFAULT', 'traces Steps', 'past the end of the mapping'),
    occurs('EFAULT', 'traces Extensions', 'a hole in it'),
    occurs('EBADF', 'traces Extensions', 'a child that ended, or never was'),
    occurs('ok', 'vfio-dmabuf 6.6 #2', 'a signal, because the buffer is revoked'),
    occurs('ok', 'vfio-dmabuf 6.2 #3', 'a signal, because the device does not answer'),
    occurs('ok', 'vfio-dmabuf 6.2 #4', 'the byte that is there, also after a revoke'),
  ],
  munmap: [
    occurs('EBADF', 'traces Values', 'unmapped before, or no step gave it'),
    occurs('EBADF', 'traces Extensions', 'a child that ended, or never was'),
    occurs('EINVAL', 'traces Extensions', 'from inside a page, or of no bytes'),
    occurs('EFAULT', 'traces Extensions', 'past the end of the mapping'),
    occurs('ok', 'vfio-dmabuf 6.10 BAR VMA unmapped', 'the device is open, or closed and let go of now'),
    occurs('ok', 'vfio-dmabuf 6.9 munmap', 'some pages, of which some may be gone'),
  ],
  fork: [occurs('ok', 'traces Extensions', 'the first process, whatever it has mapped')],
  exit: [
    occurs('EBADF', 'traces Extensions', 'a child that ended, or never was'),
    occurs('ok', 'traces Extensions', 'a child, which may hold a closed device'),
  ],
} satisfies Partial<Record<Command['do'], readonly Entry[]>>;
