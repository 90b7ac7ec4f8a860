/** The reference texts, and all the numbers in their order. */
import { accesses } from './accesses.ts';
import { areas } from './areas.ts';
import { domains } from './domains.ts';
import { framing } from './framing.ts';
import { iovaSpace } from './iova.ts';
import { lifetimes } from './lifetime.ts';
import { locks } from './locks.ts';
import { mmioRanges } from './mmio.ts';
import { placements } from './placement.ts';
import { releases } from './release.ts';
import { revoked } from './revoke.ts';
import type { Group, Row } from './row.ts';
import { subPages } from './subpages.ts';
import { unmapped } from './unmap.ts';
import { barMappings } from './vfio-bars.ts';
import { buffers } from './vfio-buffers.ts';
import { exports } from './vfio-export.ts';
import { importers } from './vfio-importers.ts';
import { liveness } from './vfio-liveness.ts';
import { bufferMappings } from './vfio-mmap.ts';
import { otherExporters } from './vfio-other.ts';
import { peerToPeer } from './vfio-p2p.ts';
import { revokes } from './vfio-revoke.ts';
import { tables } from './vfio-tables.ts';
import { tokens } from './vfio-tokens.ts';
import { triggers } from './vfio-triggers.ts';
import { type1 } from './vfio-type1.ts';

export interface Document {
  readonly name: string;
  /** Where in the text the numbers stand. */
  readonly section: string;
  readonly groups: readonly Group[];
}

const iommufd: Document = {
  name: 'iommufd',
  section: 'section 8',
  groups: [
    { heading: '8.1 Never mapped while revoked', numbers: ['I', 1, 8], rows: revoked },
    { heading: '8.2 No double unmap, and no lost one', numbers: ['I', 10, 17], rows: unmapped },
    { heading: '8.3 One MMIO range', numbers: ['I', 20, 26], rows: mmioRanges },
    { heading: '8.4 Sub-page offsets', numbers: ['I', 30, 35], rows: subPages },
    { heading: '8.5 The IOVA space', numbers: ['I', 40, 53], rows: [...iovaSpace, ...placements, ...areas] },
    { heading: '8.6 Domains and COPY', numbers: ['I', 60, 67], rows: domains },
    { heading: '8.7 References, lifetime, accounting', numbers: ['I', 70, 79], rows: [...lifetimes, ...releases] },
    {
      heading: '8.8 Errors, framing, accesses, locks',
      numbers: ['I', 80, 89],
      rows: [...framing, ...accesses, ...locks],
    },
  ],
};

const vfioDmabuf: Document = {
  name: 'vfio-dmabuf',
  section: 'section 11',
  groups: [
    { heading: 'Export', numbers: ['V', 1, 7], rows: exports },
    { heading: 'Revoke, and what it waits for', numbers: ['V', 8, 16], rows: revokes },
    { heading: 'Lifetimes', numbers: ['V', 17, 21], rows: buffers },
    { heading: 'What takes the memory away', numbers: ['V', 22, 32], rows: triggers },
    { heading: 'Importers', numbers: ['V', 33, 39], rows: importers },
    { heading: 'Peer-to-peer tables', numbers: ['V', 40, 45], rows: [...tables, ...peerToPeer] },
    { heading: 'CPU mappings of BARs, locks, fences', numbers: ['V', 46, 51], rows: barMappings },
    { heading: 'Mappings of buffers, permanent revoke', numbers: ['V', 52, 65], rows: bufferMappings },
    { heading: 'Tokens of io_uring', numbers: ['V', 66, 66], rows: tokens },
    { heading: 'Other exporters', numbers: ['V', 67, 68], rows: otherExporters },
    { heading: 'Type 1', numbers: ['V', 69, 69], rows: type1 },
    { heading: 'Liveness', numbers: ['V', 70, 70], rows: liveness },
  ],
};

export const DOCUMENTS: readonly Document[] = [iommufd, vfioDmabuf];

export const rowsOf = ({ groups }: Document): readonly Row[] => groups.flatMap(({ rows }) => rows);
export const ALL_ROWS: readonly Row[] = DOCUMENTS.flatMap(rowsOf);
