/** All mutants, in the order of the reference texts. */
import { URING_MUTANTS } from './io-uring.ts';
import { AREA_MUTANTS } from './iommufd-areas.ts';
import { LOCK_MUTANTS } from './iommufd-locks.ts';
import type { Mutant } from './mutant.ts';
import { REFUSAL_MUTANTS } from './refusals.ts';
import { BUFFER_MUTANTS } from './vfio-buffers.ts';
import { DRAIN_MUTANTS } from './vfio-drain.ts';
import { RESET_MUTANTS } from './vfio-reset.ts';

/** H before M before S, each by number. */
export const MUTANTS: readonly Mutant[] = [
  ...LOCK_MUTANTS,
  ...AREA_MUTANTS,
  ...DRAIN_MUTANTS,
  ...RESET_MUTANTS,
  ...BUFFER_MUTANTS,
  ...URING_MUTANTS,
  ...REFUSAL_MUTANTS,
].toSorted((a, b) => (a.id < b.id ? -1 : 1));
