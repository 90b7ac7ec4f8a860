/** Liveness: V-70. */
import type { Row } from './row.ts';

export const liveness: readonly Row[] = [];
