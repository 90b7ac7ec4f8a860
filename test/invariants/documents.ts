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

export interface Document {
  readonly name: string;
  /** Where in the text the numbers stand. */
  readonly section: string;
  /** First and last of each run of numbers. */
  readonly numbers: readonly (readonly [prefix: string, first: number, last: number])[];
  readonly groups: readonly Group[];
}

const iommufd: Document = {
  name: 'iommufd',
  section: 'section 8',
  numbers: [
    ['I', 1, 8],
    ['I', 10, 17],
    ['I', 20, 26],
    ['I', 30, 35],
    ['I', 40, 53],
    ['I', 60, 67],
    ['I', 70, 79],
    ['I', 80, 89],
  ],
  groups: [
    { heading: '8.1 Never mapped while revoked', rows: revoked },
    { heading: '8.2 No double unmap, and no lost one', rows: unmapped },
    { heading: '8.3 One MMIO range', rows: mmioRanges },
    { heading: '8.4 Sub-page offsets', rows: subPages },
    { heading: '8.5 The IOVA space', rows: [...iovaSpace, ...placements, ...areas] },
    { heading: '8.6 Domains and COPY', rows: domains },
    { heading: '8.7 References, lifetime, accounting', rows: [...lifetimes, ...releases] },
    { heading: '8.8 Errors, framing, accesses, locks', rows: [...framing, ...accesses, ...locks] },
  ],
};

export const DOCUMENTS: readonly Document[] = [iommufd];

export const rowsOf = ({ groups }: Document): readonly Row[] => groups.flatMap(({ rows }) => rows);
export const ALL_ROWS: readonly Row[] = DOCUMENTS.flatMap(rowsOf);
