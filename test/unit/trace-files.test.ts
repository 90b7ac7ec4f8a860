import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseTrace, readTraces, traceTexts } from '../../trace/parse.ts';

const machine = {
  page_size: '0x1000',
  iommu: { page_sizes: ['0x1000'], aperture: ['0x0', '0xffff'] },
  reserved: [],
  devices: {},
};
const line = (name: string) => JSON.stringify({ format: 'dmabuf-trace', version: 2, name, machine, steps: [] });

let folder = '';
const put = (name: string, text: string) => writeFileSync(join(folder, name), text);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'traces-'));
  mkdirSync(join(folder, 'inner'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('readTraces gives every trace of a folder by name, and nothing else, when folders are nested', () => {
  put('b.json', line('b'));
  put('a.jsonl', `${line('a1')}\n\n${line('a3')}\n`);
  put('inner/c.json', line('c'));
  put('README.md', 'not a trace');
  const found = [...readTraces(folder)].map(({ where, trace }) => [where.slice(folder.length + 1), trace.name]);
  expect(found).toEqual([
    ['a.jsonl:1', 'a1'],
    ['a.jsonl:3', 'a3'],
    ['b.json', 'b'],
    ['inner/c.json', 'c'],
  ]);
});

test('traceTexts goes on when a caller survives a malformed trace', () => {
  put('a.jsonl', `${line('a')}\n{}\n${line('c')}\n`);
  const names = [...traceTexts(folder)].map(({ where, text }) => {
    try {
      return parseTrace(text, where).name;
    } catch {
      return 'malformed';
    }
  });
  expect(names).toEqual(['a', 'malformed', 'c']);
});

test('readTraces names file and line when a line of a .jsonl file is malformed', () => {
  put('a.jsonl', `${line('a')}\n{}\n`);
  expect(() => [...readTraces(folder)]).toThrow(`${join(folder, 'a.jsonl')}:2: not a trace: format is missing`);
});

test.each([
  ['nowhere', 'nowhere: no such file or folder'],
  ['x.txt', 'x.txt: neither a .json nor a .jsonl file'],
])('readTraces refuses %s by one line', (name, message) => {
  put('x.txt', '');
  expect(() => [...readTraces(join(folder, name))]).toThrow(`${folder}/${message}`);
});

test.each([
  ['', 'not JSON: Unexpected end of JSON input'],
  ['{"name": "__proto__"}', '"__proto__" is not a name'],
])('parseTrace refuses %j by one line', (text, message) => {
  expect(() => parseTrace(text, 'x.json')).toThrow(`x.json: ${message}`);
});

test('parseTrace says what is not JSON on one line when the text has several', () => {
  expect(() => parseTrace('{\n  oops\n}\n', 'x.json')).toThrow(/^x\.json: not JSON: [^\n]+$/);
});
