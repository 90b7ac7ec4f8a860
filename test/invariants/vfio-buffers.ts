/** Lifetimes of buffers and devices: V-17 to V-21. */
import type { Row } from './row.ts';

export const buffers: readonly Row[] = [];
