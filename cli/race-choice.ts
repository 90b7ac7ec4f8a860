/** Which races of the tables, and which of their starting states, the arguments of `shootdown race` ask for. */
import { type Case, nameOf, type Race, type RaceTable } from '../properties/races/race.ts';
import { ALL_TABLES } from '../properties/races/tables/all.ts';
import { UsageError } from './usage.ts';

/** A race from one of its starting states. */
export interface Chosen {
  readonly table: RaceTable;
  readonly race: Race;
  readonly one: Case;
  /** Of the starting state, from 1. */
  readonly number: number;
}

/** All starting states of the races that are named, singly or by table; of all, where none is; or only that one. */
export function chosen(names: readonly string[], start: string | undefined): Chosen[] {
  const all = names.length === 0 ? ALL_TABLES.flatMap(startsOfTable) : [...new Set(names)].flatMap(named);
  if (start === undefined) return all;
  const races = new Set(all.map(({ race }) => race));
  if (races.size > 1) throw new UsageError('--start chooses among the starts of one race: name that race, too');
  const found = all.filter(({ one, number }) => start === String(number) || start === one.from);
  if (found.length > 0) return found;
  const [{ table, race }] = all as [Chosen];
  const starts = all.map(({ one, number }) => `${number} "${one.from}"`).join(', ');
  throw new UsageError(`${nameOf(table, race)} has no start "${start}"; it has ${starts}`);
}

/** Every race with its starting states, as they are asked for. */
export function listing(all: readonly Chosen[]): string[] {
  return all.flatMap(({ table, race, one, number }) => [
    ...(number === 1 ? [`${nameOf(table, race)}  ${race.actors}`] : []),
    `  ${number}  ${one.from}${kernelOf(one)}`,
  ]);
}

/** `v4` and `v4-literal` are profiles, not versions of Linux. */
const kernelOf = ({ kernel }: Case): string =>
  kernel === undefined ? '' : `, as ${kernel.startsWith('v') ? '' : 'Linux '}${kernel}`;

function named(name: string): Chosen[] {
  for (const table of ALL_TABLES) {
    if (table.name === name) return startsOfTable(table);
    for (const race of table.races) if (nameOf(table, race) === name) return startsOf(table, race);
  }
  const tables = ALL_TABLES.map((table) => {
    const [first, last] = [table.races[0], table.races.at(-1)] as [Race, Race];
    return `${nameOf(table, first)} to ${nameOf(table, last)}`;
  });
  throw new UsageError(`no race is called "${name}"; there are ${tables.join(', ')}; race --list tells of them`);
}

const startsOfTable = (table: RaceTable): Chosen[] => table.races.flatMap((race) => startsOf(table, race));
const startsOf = (table: RaceTable, race: Race): Chosen[] =>
  race.cases.map((one, i) => ({ table, race, one, number: i + 1 }));
