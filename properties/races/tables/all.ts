/** All races: those of the documents, and those that follow from them. */
import type { RaceTable } from '../race.ts';
import { DEVICE_RACES } from './devices.ts';
import { RACE_TABLES } from './documents.ts';
import { EXPORTING_THREES } from './three-exporting.ts';
import { MAPPING_THREES } from './three-mapping.ts';

export const ALL_TABLES: readonly RaceTable[] = [
  ...RACE_TABLES,
  { name: 'device', source: 'iommufd 1.1, 1.5, 2.2', races: DEVICE_RACES },
  { name: 'three', source: 'three threads, derived from both', races: [...MAPPING_THREES, ...EXPORTING_THREES] },
];
