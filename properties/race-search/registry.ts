/** All races by name. A file of races adds its list here. */
import type { Race } from './race.ts';
import { REVOKES } from './revokes.ts';

export const RACES: readonly Race[] = [...REVOKES];
