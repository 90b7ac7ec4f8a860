import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { CodeMap, instructionsOf } from '../../bench/callgrind.ts';

const folder = mkdtempSync(join(tmpdir(), 'callgrind-'));
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(name: string, ...lines: readonly string[]): string {
  const file = join(folder, name);
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

test('what a function takes itself is counted, and not what it calls; names are said once', () => {
  const file = fileOf(
    'callgrind',
    'events: Ir',
    'summary: 1000',
    'ob=(1) /usr/bin/node',
    'fn=(1) caller',
    '0 7',
    'cob=(2) libc.so',
    'cfn=(2) called',
    'calls=3 0',
    '0 900',
    '+4 20',
    '',
    'fn=(2)',
    '* 30',
    "fn=(3) 0x18000040'2",
    '-1 5',
    'fn=(1)',
    '0 100',
  );
  expect([...instructionsOf(file)]).toEqual([
    ['caller', 127],
    ['called', 30],
    ["0x18000040'2", 5],
  ]);
});

test('an address is in the code that lay there last, wherever it begins', () => {
  const map = new CodeMap(
    fileOf(
      'perf.map',
      '18000000 40 JS:*first a.ts:1:1',
      '18000ff0 30 JS:+over two pages b.ts:2:2',
      '18000020 10 JS:^in its place c.ts:3:3',
      '7f0123456000 100 Builtin:Far',
    ),
  );
  const found = [0x1800001f, 0x18000020, 0x1800002f, 0x18000030, 0x18000040, 0x18000fff, 0x1800101f, 0x18001020];
  expect(found.map((address) => map.at(address)?.slice(0, 4))).toEqual([
    'JS:*',
    'JS:^',
    'JS:^',
    'JS:*',
    undefined,
    'JS:+',
    'JS:+',
    undefined,
  ]);
  expect(map.at(0x7f01234560ff)).toBe('Builtin:Far');
});
