/** `shootdown race`, as far as its arguments and its exit codes go. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { race } from '../../cli/race.ts';
import { reportKept, tryToKeep } from '../../cli/regressions.ts';
import { UsageError } from '../../cli/usage.ts';
import { machine } from './model-scene.ts';

const R1 = ['iommufd-R1', '--start', '1'];

async function printed(args: readonly string[]): Promise<{ code: number; lines: string[] }> {
  const lines: string[] = [];
  const log = vi.spyOn(console, 'log').mockImplementation((line: string) => void lines.push(line));
  try {
    return { code: await race(args), lines };
  } finally {
    log.mockRestore();
  }
}

test.each<[args: readonly string[], message: string]>([
  [['nope'], 'no race is called "nope"; there are iommufd-R1 to iommufd-R18, vfio-R1 to vfio-R25'],
  [['iommufd-R19'], 'no race is called "iommufd-R19"'],
  [['--start', 'nope', 'iommufd-R3'], 'iommufd-R3 has no start "nope"; it has 1 "HWPT_ALLOC; one domain, '],
  [['--start', '4', 'iommufd-R3'], 'iommufd-R3 has no start "4"; it has 1 "'],
  [['--start', '1', 'iommufd'], '--start chooses among the starts of one race'],
  [['--schedule', '3>1', 'iommufd-R3'], '--schedule is of one race from one start'],
  [['--strategy', 'luck'], '--strategy takes random, '],
  [['--strategy', 'random:3'], '--strategy takes random, '],
  [['--strategy', 'pct:0'], '--strategy pct:D takes a whole number from 1 on, not "0"'],
  [['--strategy', 'pct:1:2'], '--strategy takes random, '],
  [['--start', '1', '--schedule', '3', 'iommufd-R1'], '--schedule takes a schedule such as "3>1 0>2", not "3"'],
  [['--schedule', '3>1', '--strategy', 'random'], '--schedule takes no --strategy'],
  [['--schedule', '3>1', '--seed', '1', ...R1], '--schedule is one run: it takes --start and --svg alone'],
  [['--schedule', '0>9', ...R1], '0>9 hands over 9 places round the queue; of 2 threads, the others are 1 on'],
  [['--schedule', '1>1 2>0', ...R1], '2>0 hands over 0 places'],
  [['--list', '--runs', '3'], '--list takes names of races alone'],
  [['--svg', 'package.json/failure.svg', ...R1], '--svg: ENOTDIR'],
  [['--svg', 'nowhere/failure.svg', ...R1], '--svg: ENOENT'],
  [['--svg', 'test', ...R1], '--svg: EISDIR'],
  [['--time', '0s', ...R1], '--time takes some time, not "0s"'],
  [['--random', 'iommufd-R1'], '--random draws its programs: it takes --seed, --runs, --time and --strategy alone'],
  [['--random', '--schedule', '3>1'], '--random draws its programs'],
  [['--runs', '0'], '--runs takes a whole number of at least 1, not "0"'],
  [['--time', 'soon'], '--time takes a duration such as 30s'],
])('race %j is refused', async (args, message) => {
  const refused = await race(args).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(UsageError);
  expect((refused as UsageError).message).toContain(message);
});

test.each<[strategy: string, ends: string]>([
  ['random', '2 of 2 ends in 60 schedules'],
  ['pct', '2 of 2 ends in 60 schedules'],
  ['round-robin', '2 of 2 ends in 16 schedules'],
  ['exhaustive:1', '2 of 2 ends in 13 schedules'],
  ['deepening', '2 of 2 ends in 60 schedules'],
])('race --strategy %s runs so many schedules, and exits with 0', async (strategy, ends) => {
  const { code, lines } = await printed(['--seed', '1', '--runs', '60', '--strategy', strategy, ...R1]);
  expect([code, lines[0], lines.at(-2), lines.at(-1)]).toEqual([
    0,
    'seed 1',
    `iommufd-R1  ${ends}`,
    '\nnothing broken',
  ]);
});

test('race --strategy reduced ends with all that there are', async () => {
  const { code, lines } = await printed(['--strategy', 'reduced', ...R1]);
  const line = 'iommufd-R1  2 of 2 ends in 168 schedules, 47 given up, all there are';
  expect([code, lines.at(-2)]).toEqual([0, line]);
});

test('race --schedule runs once, draws the run and says how it ended', async () => {
  const { code, lines } = await printed(['--schedule', '0>1', 'iommufd-R1', '--start', 'one domain']);
  const said = lines.join('\n');
  expect([code, said.split('\n')[0]]).toEqual([0, expect.stringMatching(/^iommufd-R1, /)]);
  expect(said).toMatch(/\nwith the schedule 0>1\n\n +ioas_map_file +vfio_memory\n/);
  expect(said).toMatch(/\n\nit ends as it may: [^\n]+$/);
});

test.each([
  ['1>1 999>1', 'the last preemption of 2'],
  ['999>1 1>1', 'the last 2 preemptions of 2'],
])(
  'race --schedule "%s", which is longer than the run, is followed and judged as far as that goes',
  async (schedule, last) => {
    const { code, lines } = await printed(['--schedule', schedule, ...R1]);
    expect([code, lines.at(-2), lines.at(-1)]).toEqual([
      0,
      expect.stringMatching(/\n\nit ends as it may: [^\n]+$/),
      expect.stringMatching(`^${last} never came: the run was over after [0-9]+ steps$`),
    ]);
  },
);

test('race --svg leaves neither an empty file nor a changed one where nothing fails', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'svg-'));
  try {
    const [fresh, old] = [join(folder, 'fresh.svg'), join(folder, 'old.svg')];
    writeFileSync(old, 'kept');
    for (const path of [fresh, old]) expect((await printed(['--runs', '1', '--svg', path, ...R1])).code).toBe(0);
    expect([existsSync(fresh), readFileSync(old, 'utf8')]).toEqual([false, 'kept']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a table that is not complete says so', async () => {
  const { lines } = await printed(['--seed', '1', '--runs', '1', ...R1]);
  expect(lines.at(-2)).toBe('iommufd-R1  1 of 2 ends in 1 schedule, so far');
});

test('a failure that can not be kept is told, with why', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kept-'));
  try {
    const file = join(folder, 'plain');
    writeFileSync(file, '');
    const trace = { version: 2, name: 'none', machine, steps: [] } as const;
    const kept = tryToKeep({ file: 'none.json', trace }, file);
    const told = reportKept(kept, (path) => ['BROKEN', ...(path === undefined ? [] : [path])]);
    expect(told).toEqual(['BROKEN', '', expect.stringMatching(/^its trace could not be written: E(EXIST|NOTDIR): /)]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('race runs all races of a document by its name, from each start', async () => {
  const { code, lines } = await printed(['--strategy', 'exhaustive:0', 'iommufd']);
  expect([code, lines.filter((line) => line.startsWith('iommufd-R')).length]).toEqual([0, 18]);
});

test('race --list tells what there is', async () => {
  const { code, lines } = await printed(['--list', 'iommufd-R2', 'vfio-R21']);
  expect([code, lines.join('\n').split('\n')]).toEqual([
    0,
    [
      'iommufd-R2  UNMAP ∥ revoke',
      '  1  one domain',
      '  2  two domains',
      '  3  no domain',
      '  4  one domain; a reset, which revokes and gives back',
      'vfio-R21  MEMATTR ∥ mmap of the buffer',
      '  1  not cached, to write-combining, as v4',
    ],
  ]);
});

test('race --random runs so many programs, says what overlapped, and exits with 0', async () => {
  const { code, lines } = await printed(['--random', '--seed', '1', '--runs', '20']);
  expect([code, lines[0]]).toEqual([0, 'seed 1']);
  expect(lines[1]).toMatch(/^20 programs, [0-9]+ schedules, [0-9]+ steps in /);
  expect(lines[2]).toMatch(/pairs of commands overlapped[\s\S]*\n\nnothing broken$/);
});
