/** What the commands of the kernel's test devices and test exporter may answer; rows as in the check tables. */
import type { Command } from '../../trace/command.ts';
import { type Entry, never, occurs } from './entry.ts';
import { domainAdd, framing, writeBack } from './shared.ts';

export const mock = {
  mock_domain: [
    ...framing,
    never('EOPNOTSUPP', 'iommufd 7.5 any other', 'noArgument'),
    never('ENOMEM', 'iommufd 5 any', 'noFault'),
    occurs('ENOENT', 'iommufd 2.11 attach result', 'the IOAS or HWPT is destroyed'),
    never('EINVAL', 'iommufd 2.11 attach result', 'kinds'),
    never('EBUSY', 'iommufd 2.11 attach result', 'newDevice'),
    ...domainAdd,
    ...writeBack,
    occurs('ok', 'iommufd 7.5 MOCK_DOMAIN', 'an IOAS, or a HWPT, be it automatic'),
  ],
  mock_domain_destroy: [
    ...framing,
    occurs('ENOENT', 'iommufd 2.2 #1', 'destroyed before'),
    never('EBUSY', 'iommufd 2.2 #2', 'newDevice'),
    occurs('ok', 'iommufd 2.2 then', 'the last of its domain, or not'),
  ],
  mock_dmabuf: [
    never('ENOMEM', 'iommufd 5 any', 'noFault'),
    occurs('EINVAL', 'iommufd 7.5 DMABUF_GET', 'no pages, or more than 512'),
    never('EMFILE', 'iommufd 7.5 DMABUF_GET', 'fewFiles'),
    occurs('ok', 'iommufd 7.5 DMABUF_GET', 'up to 512 pages, the last one perhaps in part'),
  ],
  mock_revoke: [
    occurs('EBADF', 'iommufd 7.5 DMABUF_REVOKE', 'closed, or no step gave it'),
    occurs('EINVAL', 'iommufd 7.5 DMABUF_REVOKE', 'a memfd'),
    occurs('EOPNOTSUPP', 'iommufd 7.5 DMABUF_REVOKE', 'a dma-buf of a device'),
    occurs('ok', 'iommufd 7.5 DMABUF_REVOKE', 'revoked or restored, also twice'),
    occurs('ok', 'iommufd 3.5 Any invocation', 'a restore of what is not revoked, which shoots it'),
  ],
} satisfies Partial<Record<Command['do'], readonly Entry[]>>;
