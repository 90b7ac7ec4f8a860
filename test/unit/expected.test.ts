import { describe, expect, test } from 'vitest';
import { type Entry, REASONS } from '../../properties/expected/entry.ts';
import {
  coverageTable,
  EXPECTED,
  expectedPairs,
  impossiblePairs,
  missing,
  pairKey,
  unexpected,
} from '../../properties/expected/expected.ts';

const entries = Object.entries<readonly Entry[]>(EXPECTED);
const rows = entries.flatMap(([command, list]) => list.map((row) => ({ command, ...row })));
const everything = (): Map<string, number> => new Map(expectedPairs().map((pair) => [pair, 2]));
const without = (pair: string): Map<string, number> => new Map([...everything()].filter(([key]) => key !== pair));
const line = (table: readonly string[], command: string): string[] =>
  table.find((text) => text.startsWith(`${command} `))!.split(/ {2,}/);

/** `iommufd 2.7 #4a`, `vfio-dmabuf 2.10 count`, `traces Values`: sections that the documents have. */
const iommufd = String.raw`iommufd (?:0\.[12]|1\.[1-5]|2\.(?:\d|1\d|20)|3\.[1-9]|4\.[1-5]|5|7\.[1-6])`;
const vfio = String.raw`vfio-dmabuf (?:1\.[1-8]|2\.(?:\d|10|11)|3\.[12]|4\.[1-6]|6\.(?:\d|1[0-2])|7\.[1-4]|10\.[1-5])`;
const row = String.raw` (?:#D?\d+[ab]?|[A-Za-z][\w ]*)`;
const citation = new RegExp(`^(?:(?:${iommufd}|${vfio})${row}|traces (?:Values|A trace|Steps|Extensions))$`);

describe('the table of expected answers', () => {
  test('has every command, and an `ok` of each', () => {
    expect(entries).toHaveLength(43);
    expect(entries.map(([command]) => pairKey(command, 'ok')).filter((pair) => !everything().has(pair))).toEqual([]);
  });

  test('has the number of pairs that the documents give', () => {
    expect([expectedPairs().length, impossiblePairs().length]).toEqual([168, 101]);
  });

  test('cites a section of the documents in every row', () => {
    expect(rows.filter(({ source }) => !citation.test(source))).toEqual([]);
  });

  test.each(['iommufd', 'iommufd 2.21 #1', 'iommufd 2.7', 'vfio-dmabuf 2.12 #1', 'traces Tables', 'memory 2.7 #1'])(
    '"%s" would be no citation',
    (source) => {
      expect(source).not.toMatch(citation);
    },
  );

  test('has no row twice in a command, and no reason that nothing needs', () => {
    for (const [command, list] of entries) {
      const keys = list.map(({ answer, source, ...rest }) => [answer, source, ...Object.values(rest)].join('|'));
      expect(new Set(keys).size, command).toBe(keys.length);
    }
    const needed = new Set(rows.flatMap((entry) => ('impossible' in entry ? [entry.impossible] : [])));
    expect(Object.keys(REASONS).filter((reason) => !needed.has(reason as keyof typeof REASONS))).toEqual([]);
  });
});

describe('a run against the table', () => {
  test('is complaint-free when it saw each expected pair and no other', () => {
    expect(missing(everything())).toEqual([]);
    expect(unexpected(everything())).toEqual([]);
    expect(coverageTable(everything()).join('\n')).not.toMatch(/MISSING|UNEXPECTED/);
  });

  test('lacks everything when it saw nothing', () => {
    expect(missing(new Map())).toHaveLength(expectedPairs().length);
    expect(unexpected(new Map())).toEqual([]);
  });

  test('gets one line about any pair that is missing, and MISSING in the table', () => {
    for (const pair of expectedPairs()) {
      const [command] = pair.split(' ') as [string];
      const about = new RegExp(`^${pair} did not occur: .+ \\(.+\\)$`);
      expect(missing(without(pair))).toEqual([expect.stringMatching(about)]);
      expect(missing(everything().set(pair, 0))).toEqual(missing(without(pair)));
      expect(line(coverageTable(without(pair)), command)).toContain('MISSING');
    }
  });

  test('says where a missing pair comes from, way by way', () => {
    expect(missing(without('ioas_copy EPERM'))).toEqual([
      'ioas_copy EPERM did not occur: to write where the first map was read-only (iommufd 2.7 #6)',
    ]);
    expect(missing(without('ioas_unmap ENOENT'))[0]).toMatch(/2\.13 #1\); .*2\.13 loop 3\); .*2\.13 #7\)$/);
  });

  test('gets one line about an answer that the documents do not list', () => {
    const seen = everything().set('vfio_flr EDEADLOCK', 1);
    expect(unexpected(seen)).toEqual(['vfio_flr EDEADLOCK occurred once: no row of the documents answers so']);
    expect(coverageTable(seen)[0]).toContain('EDEADLOCK');
    expect(line(coverageTable(seen), 'vfio_flr')).toContain('UNEXPECTED 1');
    expect(missing(seen)).toEqual([]);
  });

  test('gets one line about any pair that should be impossible', () => {
    for (const pair of impossiblePairs()) {
      const about = `${pair} occurred 3 times, impossible here: `;
      expect(unexpected(everything().set(pair, 3))).toEqual([expect.stringContaining(about)]);
      expect(unexpected(everything().set(pair, 0))).toEqual([]);
    }
  });

  test('gets one line about a command that nobody knows', () => {
    const seen = everything().set('mlock ok', 4);
    expect(unexpected(seen)).toEqual(['mlock ok occurred 4 times: no row of the documents answers so']);
    expect(line(coverageTable(seen), 'mlock')).toEqual(['mlock', 'UNEXPECTED 4']);
  });

  test('shows counts, dashes with their reasons, and nothing where the documents have nothing', () => {
    const table = coverageTable(everything().set('fd_close ok', 1234));
    expect(line(table, 'fd_close')).toEqual(['fd_close', '1234', '2']);
    expect(line(table, 'vfio_bind')).toContain('-');
    expect(table[0]).toMatch(/^ +ok +EADDRINUSE /);
    const legend = table.slice(table.indexOf(''));
    expect(legend.join('\n')).toMatch(/one thread at a time\n {5}EAGAIN: vfio_reset\n/);
    for (const pair of impossiblePairs()) {
      const [command, answer] = pair.split(' ');
      expect(legend).toContainEqual(expect.stringMatching(new RegExp(`^ {5}${answer}: .*\\b${command}\\b`)));
    }
  });
});
