/** The races of both documents, in their order. */

import type { Race, RaceTable } from '../race.ts';
import { MAP_RACES } from './iommufd-map.ts';
import { REVOKE_RACES } from './iommufd-revoke.ts';
import { UNWIND_RACES } from './iommufd-unwind.ts';
import { USER_RACES } from './iommufd-users.ts';
import { BUFFER_RACES } from './vfio-buffers.ts';
import { CPU_RACES, MAPPING_RACES } from './vfio-cpu.ts';
import { IMPORTER_RACES } from './vfio-importers.ts';
import { HOT_RESET_RACES, RESET_RACES } from './vfio-reset.ts';

const number = ({ id }: Race): number => Number(id.slice(1));
const inOrder = (...races: readonly Race[]): Race[] => races.toSorted((a, b) => number(a) - number(b));

export const RACE_TABLES: readonly RaceTable[] = [
  {
    name: 'iommufd',
    source: 'iommufd 4.5',
    races: inOrder(...REVOKE_RACES, ...MAP_RACES, ...USER_RACES, ...UNWIND_RACES),
  },
  {
    name: 'vfio',
    source: 'vfio-dmabuf 7.3',
    races: inOrder(
      ...IMPORTER_RACES,
      ...BUFFER_RACES,
      ...CPU_RACES,
      ...MAPPING_RACES,
      ...HOT_RESET_RACES,
      ...RESET_RACES,
    ),
  },
];
