/** Kinds of state: what can make a difference to a call that fails, and nothing that only counts. */
import type { Area, Device, State } from '../../model/spec.ts';

/** The same for states of one kind. */
export function kindOf({ ioases, devices, mappings, processes, takenBack }: State): string {
  const spaces = ioases.map(({ areas, domains }) => `${few(domains.length)} domains: ${kindsOf(areas)}`);
  const words = [
    ...unique(spaces),
    ...unique(devices.map(deviceKind)),
    ...unique(mappings.map(({ source }) => `CPU maps a ${source.of?.is ?? source.is}`)),
  ];
  if (processes.length > 0) words.push('children');
  if (takenBack.length > 0) words.push('taken back for good');
  return words.join('; ');
}

const few = (count: number): string => ['no', 'one', 'two'][count] ?? 'more';
const kindsOf = (areas: readonly Area[]): string =>
  unique(areas.map(({ live, source }) => `${live ? 'live' : 'dead'} ${source.is}`)).join(', ');
const unique = (words: readonly string[]): string[] => [...new Set(words)].toSorted();

function deviceKind({ opening, holder, attached, memory, power, lowPower, lost }: Device): string {
  if (opening === undefined && holder === undefined) return 'closed';
  const facts = [
    holder === undefined ? 'open' : 'bound',
    attached && 'attached',
    !memory && 'memory off',
    power === 3 && 'D3hot',
    lowPower !== undefined && 'low power',
    lost && 'lost',
  ];
  return facts.filter((fact) => fact !== false).join(' ');
}
