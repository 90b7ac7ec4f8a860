/** Rows that several commands pass through, in the order in which they pass them. */
import { type Entry, never, occurs } from './entry.ts';

/** Before each ioctl of an iommufd. */
export const framing: readonly Entry[] = [
  occurs('EBADF', 'traces Values', 'a handle of a closed iommufd, or one that no step gave'),
  never('ENOTTY', 'iommufd 2.0 #1', 'wellFormed'),
  never('EFAULT', 'iommufd 2.0 #2', 'wellFormed'),
  never('ENOTTY', 'iommufd 2.0 #3', 'wellFormed'),
  never('EINVAL', 'iommufd 2.0 #4', 'wellFormed'),
  never('E2BIG', 'iommufd 2.0 #5', 'wellFormed'),
];

/** After it. */
export const writeBack: readonly Entry[] = [never('EFAULT', 'iommufd 2.0 responses', 'wellFormed')];

/** Where the areas of a map go, fixed or automatic. */
export const placement: readonly Entry[] = [
  occurs('EINVAL', 'iommufd 2.7 #1', 'a length that is not a multiple of the alignment'),
  occurs('EINVAL', 'iommufd 2.7 #2a', 'an IOVA that is not a multiple of the alignment'),
  occurs('EOVERFLOW', 'iommufd 2.7 #3a', 'IOVA and length wrap'),
  occurs('EINVAL', 'iommufd 2.7 #4a', 'reserved, or outside the aperture'),
  occurs('EEXIST', 'iommufd 2.7 #5a', 'an area is there'),
  occurs('EEXIST', 'iommufd 3.7 MAP over the same IOVA', 'a revoked area is still there'),
  occurs('EOVERFLOW', 'iommufd 2.8 #1', 'anywhere, and half the address space or longer'),
  occurs('EINVAL', 'iommufd 2.8 #4', 'anywhere, and the source less aligned than the IOAS'),
  occurs('ENOSPC', 'iommufd 2.8 #7', 'anywhere, and longer than every hole, such as the aperture itself'),
];

/** What still stops an area that has its place. */
export const pieces: readonly Entry[] = [
  occurs('EINVAL', 'iommufd 2.7 #7', 'a source offset within its page that is not a multiple of the alignment'),
  never('EOVERFLOW', 'iommufd 2.7 #8', 'earlier'),
  never('ENOMEM', 'iommufd 5 area allocation', 'noFault'),
  never('ENOMEM', 'iommufd 5 tracker entry k', 'noFault'),
  never('ENOMEM', 'iommufd 5 batch buffer', 'noFault'),
];

/** What stops the page table of a domain. */
export const domainMap: readonly Entry[] = [
  never('EADDRINUSE', 'iommufd 7.6 map over an existing entry', 'earlier'),
  never('ERANGE', 'iommufd 7.6 too large for the format', 'earlier'),
  never('ENOMEM', 'iommufd 5 accounting', 'noFault'),
];

const badUserMemory = occurs('EFAULT', 'iommufd 5 pin', 'with a domain: user memory that is not there');
const shortFile = occurs('EINVAL', 'iommufd 2.9 recognition', 'with a domain: past the end of the memfd');
const noMemory = never('ENOMEM', 'iommufd 5 pin', 'noFault');
export const pinUser: readonly Entry[] = [badUserMemory, noMemory];
export const pinFile: readonly Entry[] = [shortFile, noMemory];
export const pinAny: readonly Entry[] = [badUserMemory, shortFile, noMemory];

/** A domain enters an IOAS: the first attach to it, and each `hwpt_alloc`. */
export const domainAdd: readonly Entry[] = [
  never('EEXIST', 'iommufd 2.11 #1', 'once'),
  never('EINVAL', 'iommufd 2.11 #2', 'machine'),
  occurs('EADDRINUSE', 'iommufd 2.11 #3', 'an area that is not of whole pages'),
  occurs('EADDRINUSE', 'iommufd 2.11 #4', 'an area below the aperture'),
  occurs('EADDRINUSE', 'iommufd 2.11 #5', 'an area above the aperture'),
  never('ENOMEM', 'iommufd 2.11 #4', 'noFault'),
  never('ENOMEM', 'iommufd 2.11 #5', 'noFault'),
  never('ENOMEM', 'iommufd 2.11 #6', 'noFault'),
  occurs('EFAULT', 'iommufd 2.11 #7', 'an area of user memory that is not there'),
  occurs('EINVAL', 'iommufd 2.11 #7', 'an area past the end of its memfd'),
  never('ENOMEM', 'iommufd 2.11 #7', 'noFault'),
];
