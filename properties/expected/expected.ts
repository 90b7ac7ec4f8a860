/**
 * Which answers a run of random sequences must have seen: command x answer, after the documents alone. A pair is
 * expected when one of its rows occurs, and impossible here when all of them are. Counts are keyed by pair:
 * `ioas_map EEXIST`, `fd_close ok`.
 */
import type { Command } from '../../trace/command.ts';
import { type Ending, type Entry, REASONS, type Reason } from './entry.ts';
import { iommufd } from './iommufd.ts';
import { memory } from './memory.ts';
import { mock } from './mock.ts';
import { spaces } from './spaces.ts';
import { vfio } from './vfio.ts';

/** For each command, every row of the documents that answers. */
export const EXPECTED = { ...vfio, ...iommufd, ...spaces, ...memory, ...mock } satisfies Record<
  Command['do'],
  readonly Entry[]
>;

/** How often each pair was seen. */
export type Seen = ReadonlyMap<string, number>;

/** The key of a pair. */
export const pairKey = (command: string, answer: Ending): string => `${command} ${answer}`;

const ROWS: ReadonlyMap<string, readonly Entry[]> = rowsByPair();

/** The pairs that must occur, or those that cannot, in the order of the tables. */
export const expectedPairs = (): string[] => [...ROWS].filter(([, rows]) => rows.some(canOccur)).map(([pair]) => pair);
export const impossiblePairs = (): string[] =>
  [...ROWS].filter(([, rows]) => !rows.some(canOccur)).map(([pair]) => pair);

/** A line for each expected pair that did not occur. */
export const missing = (seen: Seen): string[] =>
  expectedPairs()
    .filter((pair) => count(seen, pair) === 0)
    .map((pair) => {
      const ways = rowsOf(pair).flatMap((row) => ('when' in row ? [`${row.when} (${row.source})`] : []));
      return `${pair} did not occur: ${ways.join('; ')}`;
    });

/** A line for each pair that occurred although the documents do not list it, or although it is impossible here. */
export const unexpected = (seen: Seen): string[] =>
  surprises(seen).map((pair) => {
    const times = count(seen, pair) === 1 ? 'once' : `${count(seen, pair)} times`;
    const whyNot = rowsOf(pair).flatMap((row) =>
      'impossible' in row ? [`${REASONS[row.impossible]} (${row.source})`] : [],
    );
    return whyNot.length === 0
      ? `${pair} occurred ${times}: no row of the documents answers so`
      : `${pair} occurred ${times}, impossible here: ${whyNot.join('; ')}`;
  });

/**
 * The pairs as a table, one line a command, then what stands behind each `-`. A column appears when some command is
 * expected to answer so, or did.
 */
export function coverageTable(seen: Seen): string[] {
  const shown = [...expectedPairs(), ...[...seen.keys()].filter((pair) => count(seen, pair) > 0)].map(split);
  const commands = [...new Set([...Object.keys(EXPECTED), ...shown.map(([command]) => command)])];
  const answers = [...new Set(['ok', ...shown.map(([, answer]) => answer).toSorted()])];
  const lines = [
    ['', ...answers],
    ...commands.map((command) => [command, ...answers.map((answer) => cell(seen, `${command} ${answer}`))]),
  ];
  const widths = ['', ...answers].map((_, at) => Math.max(...lines.map((line) => line[at]!.length)));
  const table = lines.map((line) =>
    line.map((text, at) => (at === 0 ? text.padEnd(widths[at]!) : text.padStart(widths[at]!))).join('  '),
  );
  return [...table.map((line) => line.trimEnd()), '', '-  documented, but impossible here:', ...legend()];
}

function cell(seen: Seen, pair: string): string {
  const times = count(seen, pair);
  if (surprises(seen).includes(pair)) return `UNEXPECTED ${times}`;
  if (rowsOf(pair).some(canOccur)) return times === 0 ? 'MISSING' : String(times);
  return rowsOf(pair).length === 0 ? '' : '-';
}

/** Reason by reason, then answer by answer: the commands that cannot answer so. */
function legend(): string[] {
  const groups = new Map<string, Map<string, string[]>>();
  for (const pair of impossiblePairs()) {
    const [command, answer] = split(pair);
    for (const reason of reasonsOf(pair)) {
      const answers = groups.get(REASONS[reason]) ?? new Map<string, string[]>();
      groups.set(REASONS[reason], answers.set(answer, [...(answers.get(answer) ?? []), command]));
    }
  }
  return [...groups].flatMap(([reason, answers]) => [
    `   ${reason}`,
    ...[...answers].map(([answer, commands]) => `     ${answer}: ${commands.join(', ')}`),
  ]);
}

const canOccur = (row: Entry): boolean => 'when' in row;
const rowsOf = (pair: string): readonly Entry[] => ROWS.get(pair) ?? [];
const reasonsOf = (pair: string): ReadonlySet<Reason> =>
  new Set(rowsOf(pair).flatMap((row) => ('impossible' in row ? [row.impossible] : [])));
const count = (seen: Seen, pair: string): number => seen.get(pair) ?? 0;
const surprises = (seen: Seen): string[] =>
  [...seen.keys()].filter((pair) => count(seen, pair) > 0 && !rowsOf(pair).some(canOccur)).toSorted();

function split(pair: string): [command: string, answer: string] {
  const [command, answer] = pair.split(' ');
  return [command ?? '', answer ?? ''];
}

function rowsByPair(): Map<string, Entry[]> {
  const byPair = new Map<string, Entry[]>();
  for (const [command, rows] of Object.entries<readonly Entry[]>(EXPECTED)) {
    for (const row of rows) {
      const pair = pairKey(command, row.answer);
      byPair.set(pair, [...(byPair.get(pair) ?? []), row]);
    }
  }
  return byPair;
}
