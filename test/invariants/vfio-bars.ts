/** CPU mappings of BARs, locks, fences: V-46 to V-51. */
import type { Row } from './row.ts';

export const barMappings: readonly Row[] = [];
