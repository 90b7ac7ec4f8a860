/** An importer that keeps tokens for its requests, as io_uring does: V-66. */
import type { Row } from './row.ts';

export const tokens: readonly Row[] = [];
