/** Export: V-01 to V-07. */
import type { Row } from './row.ts';

export const exports: readonly Row[] = [];
