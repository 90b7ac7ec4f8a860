/** What the command line says of itself, and of options that it does not have. */
import { expect, test } from 'vitest';
import { readArguments } from '../../cli/arguments.ts';
import { verdictOf } from '../../cli/progress.ts';
import { USAGE, UsageError, usageOf } from '../../cli/usage.ts';

test.each(['check', 'race', 'replay', 'show'])('the usage of %s has all its forms, and no other command', (command) => {
  const forms = (text: string): string[] => [...text.matchAll(/^ {2}[a-z]+ .*$/gm)].map(([line]) => line);
  expect(forms(usageOf(command))).toEqual(forms(USAGE).filter((line) => line.startsWith(`  ${command} `)));
  expect(usageOf(command)).not.toContain('exit code');
});

test('what is no command has no usage', () => expect(usageOf('nope')).toBe(''));

test.each<[args: readonly string[], message: string]>([
  [['--sed', '1'], 'check has no option --sed; see shootdown check --help'],
  [['-x'], 'check has no option -x; see shootdown check --help'],
  [['--runs', '-5'], 'check --runs takes no value that begins with a dash'],
  [['--runs'], "check: Option '--runs <value>' argument missing"],
])('check %j is refused in a line', (args, message) => {
  const read = (): unknown => readArguments('check', args, { runs: { type: 'string' } });
  expect(read).toThrow(new UsageError(message));
});

test.each([
  [0, false, 'nothing was run'],
  [0, true, 'nothing was run'],
  [3, true, 'nothing broken so far'],
  [3, false, 'nothing broken'],
])('after %d runs, interrupted or not (%s), a search claims: %s', (done, interrupted, said) => {
  expect(verdictOf('nothing broken', done, interrupted)).toBe(said);
});
