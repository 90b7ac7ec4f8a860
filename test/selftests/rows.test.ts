/** The table of selftests is whole, names what is there, and is the page that people read; `-u` writes that anew. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { pageOf } from './page.ts';
import { type Row, statusOf } from './row.ts';
import { DERIVED_ROWS } from './rows-derived.ts';
import { DOMAIN_ROWS } from './rows-domain.ts';
import { IOAS_ROWS } from './rows-ioas.ts';

const TEST = fileURLToPath(new URL('..', import.meta.url));
const KERNELS: readonly Row[] = [...IOAS_ROWS, ...DOMAIN_ROWS];
const ALL: readonly Row[] = [...KERNELS, ...DERIVED_ROWS];

const span = (letter: string, first: number, last: number): string[] =>
  Array.from({ length: last - first + 1 }, (_, i) => `${letter}-${String(first + i).padStart(2, '0')}`);

test('all 63 rows of the kernel are there once, in order, and all 24 that were derived', () => {
  const spans = [
    [1, 11],
    [20, 46],
    [50, 57],
    [60, 65],
    [70, 73],
    [80, 86],
  ] as const;
  const ids = spans.flatMap(([first, last]) => span('T', first, last));
  expect(ids.length).toBe(63);
  expect(KERNELS.map(({ id }) => id)).toEqual(ids);
  expect(DERIVED_ROWS.map(({ id }) => id)).toEqual(span('G', 1, 24));
});

test('a row names a trace or a test, or says why there is none, and never both', () => {
  const places = ({ traces = [], tests = [] }: Row): number => traces.length + tests.length;
  expect(ALL.filter((row) => (places(row) === 0) !== (statusOf(row) === 'not')).map(({ id }) => id)).toEqual([]);
});

/** Words of a name, without the letters that traces and tests write otherwise. */
const words = (name: string): string => name.replaceAll('_', '-').replace(/ .*/, '');

test('every trace is there, and names the test of the kernel', () => {
  const wrong: string[] = [];
  for (const { name: test, id, traces = [] } of KERNELS) {
    for (const trace of traces) {
      const path = `${TEST}traces/${trace}.json`;
      if (!existsSync(path)) {
        wrong.push(`${id}: ${trace} is not there`);
        continue;
      }
      const { name, about } = JSON.parse(readFileSync(path, 'utf8')) as { name: string; about: string };
      const stem = name.replace(/^selftest-/, '').replace(/-(no-domain|mock-domain|two-mock-domains)$/, '');
      const named = name.startsWith('selftest-')
        ? words(test).includes(stem)
        : about.startsWith(test.replace(/ .*/, ''));
      if (!named) wrong.push(`${id}: ${name} is of something else`);
    }
  }
  expect(wrong).toEqual([]);
});

test('every trace of a derived row is there', () => {
  const traces = DERIVED_ROWS.flatMap((row) => row.traces ?? []);
  expect(traces.filter((trace) => !existsSync(`${TEST}traces/${trace}.json`))).toEqual([]);
});

test('every file of tests is there, and has each title', () => {
  const wrong: string[] = [];
  for (const { id, tests = [] } of ALL) {
    for (const [file, title] of tests) {
      const text = existsSync(`${TEST}${file}`) ? readFileSync(`${TEST}${file}`, 'utf8') : '';
      if (!text.includes(`'${title}'`)) wrong.push(`${id}: ${file} has no '${title}'`);
    }
  }
  expect(wrong).toEqual([]);
});

test('the page says what the rows say', async () => {
  await expect(pageOf(KERNELS, DERIVED_ROWS)).toMatchFileSnapshot('../../docs/selftests.md');
});
