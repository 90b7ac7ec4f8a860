/** Type 1 mappings, which nobody revokes: V-69. */
import type { Row } from './row.ts';

export const type1: readonly Row[] = [];
