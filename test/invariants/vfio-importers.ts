/** Importers, and what they are told: V-33 to V-39. */
import type { Row } from './row.ts';

export const importers: readonly Row[] = [];
