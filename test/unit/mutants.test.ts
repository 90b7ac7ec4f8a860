/** `npm run mutants`: what counts as killed, and what it makes of its arguments. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type Assertion, ended, patternOf } from '../invariants/mutate.ts';

const PROPERTY = 'Error: Property failed after 1 tests\n{ seed: 1 }\nCounterexample: [0]\n\n';
const TITLE = 'map (of 2) splats';
const assertion = (status: string, message = '', fullName = TITLE): Assertion => ({
  fullName,
  status,
  failureMessages: [message],
});

describe('a bug', () => {
  test.each<[verdict: string, how: string, assertions: Assertion[]]>([
    ['killed by an expectation', 'failed', [assertion('failed', 'AssertionError: expected 1 to be 2\n    at x')]],
    ['killed by a splat', 'failed', [assertion('failed', 'Splat: double unmap: domain a0')]],
    ['killed by a divergence', 'failed', [assertion('failed', 'Divergence: audit: step 3')]],
    ['not killed', 'passed', [assertion('passed')]],
    ['not killed by a crash', 'did not run', [assertion('failed', 'TypeError: Cannot read properties of undefined')]],
    ['killed by a property', 'failed', [assertion('failed', `${PROPERTY}Got AssertionError: expected 1 to be 2`)]],
    [
      'not killed by a property in which it crashes',
      'did not run',
      [assertion('failed', `${PROPERTY}Got TypeError: x`)],
    ],
    ['not killed by a test that is skipped', 'did not run', [assertion('skipped')]],
    ['not killed by a test that is still to be written', 'did not run', [assertion('todo')]],
    ['not killed by another test', 'did not run', [assertion('failed', 'AssertionError', `${TITLE} twice`)]],
    ['not killed by one of two tests', 'did not run', [assertion('failed', 'Splat'), assertion('passed')]],
    ['not killed when the file cannot be loaded', 'did not run', []],
  ])('is %s: %s', (_, how, assertions) => {
    expect(ended(assertions, TITLE, 'SyntaxError').how).toBe(how);
  });

  test('says why, in a line', () => {
    expect(ended([assertion('failed', 'Splat: WARN: twice\n    at x')], TITLE, '').why).toBe('Splat: WARN: twice');
    expect(ended([], TITLE, 'SyntaxError: Unexpected token').why).toBe('SyntaxError: Unexpected token');
  });
});

test('the pattern of a title fits it, with the title of its describe set apart or not, and no other', () => {
  const pattern = new RegExp(`^(${patternOf(TITLE)})$`);
  const titles = [TITLE, 'map (of 2) > splats', 'map of 2 splats', `${TITLE} twice`];
  expect(titles.map((title) => pattern.test(title))).toEqual([true, true, false, false]);
});

describe('npm run mutants', () => {
  const run = (...args: string[]): { status: number | null; out: string; err: string } => {
    const file = fileURLToPath(new URL('../invariants/verify.ts', import.meta.url));
    const { status, stdout, stderr } = spawnSync(process.execPath, [file, ...args], { encoding: 'utf8' });
    return { status, out: stdout, err: stderr };
  };

  test.each(['I-9', 'I-09', '--all', 'fill.ts'])('%s is one line, and exit code 2', (arg) => {
    const { status, out, err } = run('I-01', arg);
    expect([status, out]).toEqual([2, '']);
    expect(err).toBe(`mutants: there is no invariant "${arg}"; see npm run mutants -- --help\n`);
  });

  test('--help says what it takes, and exit code 0', () => {
    const { status, out } = run('--help');
    expect(status).toBe(0);
    expect(out).toMatch(/^usage: npm run mutants/);
  });
});
