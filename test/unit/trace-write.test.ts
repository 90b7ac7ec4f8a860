import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { jsonSchema, SCHEMA_FILE } from '../../trace/json-schema.ts';
import { parseTrace, traceTexts } from '../../trace/parse.ts';
import { type Do, isDo, STEPS } from '../../trace/steps.ts';
import type { Trace } from '../../trace/trace.ts';
import { writeTrace, writeTraceLine } from '../../trace/write.ts';

const traces = fileURLToPath(new URL('../traces', import.meta.url));

const text = `{
  "format": "dmabuf-trace",
  "version": 2,
  "name": "t",
  "kernel": "7.2",
  "machine": {
    "page_size": "0x1000",
    "iommu": { "page_sizes": [ "0x1000" ], "aperture": [ "0x0", "0xffffffffffffffff" ] },
    "reserved": [],
    "devices": {
      "dev0": { "bars": { "2": "0x4000" }, "group": 0, "bus": 0, "resets": [ "flr" ], "hot_reset_err": "ENOTTY" }
    }
  },
  "steps": [
    { "do": "mem_alloc", "as": "m", "length": "0x1000", "ok": {} },
    { "do": "vfio_reset", "dev": "dev0", "blocked": "waits", "fault": { "site": "s", "nth": 1 }, "note": "n" },
    { "do": "vfio_flr", "dev": "dev0", "iommu": [ [ "map", "0x0", "m+0x0", "0x1000", "cache", { "domain": "h" } ] ] },
    { "do": "vfio_flr", "dev": "dev0", "iommu": [ [ "unmap", "0x0", "0x1000", { "domain": "h" } ] ] },
    { "do": "vfio_flr", "dev": "dev0", "reach": { "dev0": [ [ "0x0", "m+0x0", "0x1000", "" ] ] } }
  ],
  "threads": {
    "branches": [
      [
        { "do": "vfio_open", "dev": "dev0" }
      ],
      [
        { "do": "vfio_close", "dev": "dev0" }
      ]
    ],
    "schedule": [ { "after": 1, "to": 1 } ]
  }
}
`;

test('writeTrace gives one line a step, and the same text again, when its text was parsed', () => {
  expect(writeTrace(parseTrace(text, 't.json'))).toBe(text);
});

test('writeTraceLine gives one line that parses to the same trace', () => {
  const trace = parseTrace(text, 't.json');
  expect(writeTraceLine(trace)).not.toContain('\n');
  expect(parseTrace(writeTraceLine(trace), 't.jsonl')).toEqual(trace);
});

test.each([
  [
    'a length below zero',
    { command: { do: 'mem_alloc', as: 'x', length: -1n } },
    '"0x-1" is not a lower-case hex number without leading zeros',
  ],
  [
    'a length of 65 bits',
    { command: { do: 'mem_alloc', as: 'x', length: 1n << 64n } },
    '"0x10000000000000000" has more than 64 bits',
  ],
] as const)('writeTrace refuses %s by one line', (_, step, wrong) => {
  const trace: Trace = { ...parseTrace(text, 't.json'), steps: [step] };
  expect(() => writeTrace(trace)).toThrow(`t: step 1 (mem_alloc): length: ${wrong}`);
});

test('parsing what was written gives the same trace, for every recorded one', () => {
  for (const { where, text: recorded } of traceTexts(`${traces}/linux-7.2.13/scenarios`)) {
    const trace = parseTrace(recorded, where);
    expect(parseTrace(writeTrace(trace), where), where).toEqual(trace);
  }
});

test('schema.json is what the schemas give; run `node trace/json-schema.ts` when it is stale', () => {
  expect(readFileSync(SCHEMA_FILE, 'utf8')).toBe(jsonSchema());
});

test('schema.json names and describes every step', () => {
  const { $defs } = JSON.parse(jsonSchema());
  for (const [name, { about }] of Object.entries(STEPS)) expect($defs[name].description).toBe(about);
});

/** What is in the tables of arguments; those that version 2 adds to a step of version 1 are in its text. */
function argsOf(name: Do): string[] {
  const { args, added }: { args: object; added?: string | readonly string[] } = STEPS[name];
  return Object.keys(args).filter((arg) => added === 'step' || !added?.includes(arg));
}

test('the table of steps has every step of the format, and the arguments that it names', () => {
  const chapters = readFileSync(`${traces}/README.md`, 'utf8').split(/^## /m);
  const steps = chapters.filter((chapter) => /^(Steps|Extensions)/.test(chapter)).join('');
  const rows = [...steps.matchAll(/^\| `([a-z_]+)` \|([^|]*)\|/gm)];
  expect(rows.map(([, name]) => name).toSorted()).toEqual(Object.keys(STEPS).toSorted());
  for (const [, name = '', cell = ''] of rows) {
    expect(isDo(name), name).toBe(true);
    const args = isDo(name) ? argsOf(name) : [];
    const named = [...cell.replace(/\(.*?\)/g, '').matchAll(/`([a-z_]+)`/g)].map(([, arg]) => arg);
    expect(named.filter((arg) => arg !== 'dev2' && arg !== 'bar_mmap' && arg !== 'munmap').toSorted(), name).toEqual(
      args.toSorted(),
    );
  }
});
