/** What the commands may answer that say where, and how, an IOAS is to map; rows as in the check tables. */
import type { Command } from '../../trace/command.ts';
import { type Entry, never, occurs } from './entry.ts';
import { framing, writeBack } from './shared.ts';

export const spaces = {
  ioas_allow_iovas: [
    ...framing,
    never('EOPNOTSUPP', 'iommufd 2.4 #1', 'noArgument'),
    occurs('ENOENT', 'iommufd 2.4 #2', 'the IOAS is destroyed, or a HWPT'),
    never('EFAULT', 'iommufd 2.4 #3', 'wellFormed'),
    occurs('EINVAL', 'iommufd 2.4 #4', 'a range of one byte, or of less'),
    occurs('EINVAL', 'iommufd 2.4 #5', 'two ranges that share a byte'),
    never('ENOMEM', 'iommufd 2.4 #6', 'noFault'),
    occurs('EADDRINUSE', 'iommufd 2.4 #7', 'outside the aperture of a domain, or reserved by a device'),
    ...writeBack,
    occurs('ok', 'iommufd 2.4 replaces', 'some ranges, or none; areas are not looked at'),
  ],
  ioas_option_huge_pages: [
    ...framing,
    never('EOPNOTSUPP', 'iommufd 2.15 any', 'noArgument'),
    never('EOPNOTSUPP', 'iommufd 2.15 HUGE_PAGES other op', 'noArgument'),
    occurs('ENOENT', 'iommufd 2.15 HUGE_PAGES SET 0', 'the IOAS is destroyed, or a HWPT'),
    occurs('EINVAL', 'iommufd 2.15 HUGE_PAGES SET 0', 'off, with a domain and an area'),
    never('EINVAL', 'iommufd 2.15 HUGE_PAGES SET other', 'noArgument'),
    occurs('EADDRINUSE', 'iommufd 2.15 HUGE_PAGES SET 0', 'off, without a domain, and an area is not of whole pages'),
    ...writeBack,
    occurs('ok', 'iommufd 2.15 HUGE_PAGES SET 1', 'on, always'),
    occurs('ok', 'iommufd 2.15 HUGE_PAGES SET 0', 'off, with a domain or areas of whole pages; off already'),
  ],
} satisfies Partial<Record<Command['do'], readonly Entry[]>>;
