/**
 * Errnos are answers: returned, never thrown. A function that may refuse returns `T | Errno`, one that gives nothing
 * back `Errno | undefined`; no value of ours is a bare string, so `isErrno` tells the two apart.
 */

export type Errno =
  | 'EPERM'
  | 'ENOENT'
  | 'EIO'
  | 'ENXIO'
  | 'E2BIG'
  | 'EBADF'
  | 'EAGAIN'
  | 'ENOMEM'
  | 'EFAULT'
  | 'EBUSY'
  | 'EEXIST'
  | 'ENODEV'
  | 'EINVAL'
  | 'EMFILE'
  | 'ENOTTY'
  | 'ENOSPC'
  | 'ERANGE'
  | 'EDEADLOCK'
  | 'EBADE'
  | 'EOVERFLOW'
  | 'EBADFD'
  | 'EMSGSIZE'
  | 'EOPNOTSUPP'
  | 'EADDRINUSE';

export const isErrno = (value: unknown): value is Errno => typeof value === 'string';
