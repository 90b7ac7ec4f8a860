/** The table of invariants: complete, in order, and true of the files that it names. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { ALL_ROWS, DOCUMENTS } from '../invariants/documents.ts';
import { page } from '../invariants/page.ts';
import { type Edit, idsOf, type Row, type Test } from '../invariants/row.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (file: string): string => (existsSync(join(ROOT, file)) ? readFileSync(join(ROOT, file), 'utf8') : '');
const PROOFS = ALL_ROWS.flatMap(({ id, proofs }) => proofs.map((proof) => ({ id, ...proof })));
/** A `%s` or `$name` of `test.each`. */
const PLACEHOLDER = /%[sdifjoO]|\$\w+/;

test('docs/invariants.md is the table as it is', async () => {
  await expect(page(DOCUMENTS)).toMatchFileSnapshot('../../docs/invariants.md');
});

test.each(DOCUMENTS)('every number of $name is there, once, in order', ({ groups }) => {
  expect(groups.flatMap(({ rows }) => rows.map(({ id }) => id))).toEqual(groups.flatMap(idsOf));
});

test('every row has a check and a bug, or says why not', () => {
  const complete = ({ checks, proofs, impossible }: Row): boolean =>
    impossible === undefined ? checks.length > 0 && proofs.length > 0 : checks.length + proofs.length === 0;
  expect(ALL_ROWS.filter((row) => !complete(row)).map(({ id }) => id)).toEqual([]);
});

test('every check that is named is there', () => {
  const named = ALL_ROWS.flatMap(({ id, checks }) => checks.map((check) => ({ id, ...check })));
  expect(named.filter(({ file, name }) => !read(file).includes(name))).toEqual([]);
});

test('every edit fits just one place, and changes it', () => {
  const fits = ({ file, from, to }: Edit): boolean => read(file).split(from).length === 2 && from !== to;
  expect(PROOFS.filter(({ edit }) => !fits(edit)).map(({ id, bug }) => `${id}: ${bug}`)).toEqual([]);
});

test('every test that is named is there, under its title', () => {
  const stands = (part: string, source: string): boolean =>
    source.includes(part) || source.includes(part.replaceAll("'", "\\'"));
  const missing = ({ file, title, of = [title], table }: Test): string[] => {
    const source = read(file) + (table === undefined ? '' : read(table));
    const fixed = of.filter((part) => PLACEHOLDER.test(part)).flatMap((template) => template.split(PLACEHOLDER));
    return [...of.filter((part) => !stands(part, source)), ...fixed.filter((part) => !title.includes(part))];
  };
  expect(PROOFS.flatMap(({ id, test }) => missing(test).map((part) => `${id}: ${part}`))).toEqual([]);
});
