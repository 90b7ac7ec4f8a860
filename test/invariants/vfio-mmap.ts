/** CPU mappings of buffers, and the permanent revoke: V-52 to V-65. */
import type { Row } from './row.ts';

export const bufferMappings: readonly Row[] = [];
