/** Revoke, and what it waits for: V-08 to V-16. */
import type { Row } from './row.ts';

export const revokes: readonly Row[] = [];
