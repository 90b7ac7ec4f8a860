/** What an importer is given to do DMA with: V-40 to V-45. */
import type { Row } from './row.ts';

export const peerToPeer: readonly Row[] = [];
