/**
 * Errnos are answers: returned, never thrown. A function that may refuse returns `T | Errno`, one that gives nothing
 * back `Errno | undefined`; no value of ours is a bare string, so `isErrno` tells the two apart.
 */
import type { Errno } from '../../trace/answer.ts';

export type { Errno };

export const isErrno = (value: unknown): value is Errno => typeof value === 'string';
