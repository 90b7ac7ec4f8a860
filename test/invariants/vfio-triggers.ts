/** What takes the memory away: V-22 to V-32. */
import type { Row } from './row.ts';

export const triggers: readonly Row[] = [];
