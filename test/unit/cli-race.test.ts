/** `shootdown race`, as far as its arguments and its exit codes go. */
import { expect, test, vi } from 'vitest';
import { race } from '../../cli/race.ts';
import { UsageError } from '../../cli/usage.ts';

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
  [['nope'], 'no race is called "nope"; there are map/revoke, '],
  [['--start', 'nope', 'map/revoke'], 'no start is called "nope"; there are attached'],
  [['--strategy', 'luck'], '--strategy takes random, '],
  [['--strategy', 'random:3'], '--strategy takes random, '],
  [['--strategy', 'pct:0'], '--strategy takes a whole number of at least 1, not "0"'],
  [['--strategy', 'pct:1:2'], '--strategy takes random, '],
  [['--schedule', '3'], '--schedule takes a schedule such as "3>1 0>2", not "3"'],
  [['--schedule', '3>1', '--strategy', 'random'], '--schedule takes no --strategy'],
  [['--runs', '0'], '--runs takes a whole number of at least 1, not "0"'],
  [['--time', 'soon'], '--time takes a duration such as 30s'],
])('race %j is refused', async (args, message) => {
  const refused = await race(args).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(UsageError);
  expect((refused as UsageError).message).toContain(message);
});

test.each<[strategy: string, line: string]>([
  ['random', 'map/revoke: 2 of 2 outcomes in 60 schedules'],
  ['pct', 'map/revoke: 2 of 2 outcomes in 60 schedules'],
  ['round-robin', 'map/revoke: 2 of 2 outcomes in 16 schedules'],
  ['exhaustive:1', 'map/revoke: 2 of 2 outcomes in 13 schedules'],
  ['deepening', 'map/revoke: 2 of 2 outcomes in 60 schedules'],
])('race --strategy %s runs so many schedules, and exits with 0', async (strategy, line) => {
  const { code, lines } = await printed(['--seed', '1', '--runs', '60', '--strategy', strategy, 'map/revoke']);
  expect([code, lines[0], lines.at(-2), lines.at(-1)]).toEqual([0, 'seed 1', line, '\nnothing broken']);
});

test('race --strategy reduced ends with all that there are', async () => {
  const { code, lines } = await printed(['--strategy', 'reduced', 'map/revoke']);
  expect([code, lines.at(-2)]).toEqual([0, 'map/revoke: 2 of 2 outcomes in 168 schedules, 47 given up, all there are']);
});

test('race --schedule runs once', async () => {
  const { code, lines } = await printed(['--schedule', '0>1', 'map/revoke']);
  expect([code, lines.at(-2)]).toEqual([0, 'map/revoke: 1 of 2 outcomes in 1 schedules']);
});
