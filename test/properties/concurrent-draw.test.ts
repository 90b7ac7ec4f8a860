/** What random programs are made of: the same of each seed, and in threads nothing that a trace could not say. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { programs } from '../../properties/concurrent/draw.ts';
import { traceOf } from '../../properties/concurrent/failure.ts';
import { ready } from '../../properties/concurrent/program.ts';
import { WRONG_BELOW } from '../../properties/intents.ts';
import { flaws } from '../../trace/check.ts';
import { SEED } from './seed.ts';

const drawn = (count: number) => fc.sample(programs, { seed: SEED, numRuns: count });
const DRAWN = drawn(200);
const PROGRAMS = DRAWN.map((it) => ready(it).program);

test('a seed draws the same programs on each run', () => {
  const again = drawn(20);
  expect(again).toEqual(DRAWN.slice(0, 20));
  expect(again.map((it) => ready(it).program)).toEqual(PROGRAMS.slice(0, 20));
});

test('of the commands of threads one in six or so is wrong on purpose', () => {
  const meant = DRAWN.flatMap(({ branches }) => branches.flat());
  const wrong = meant.filter(({ odd }) => odd < WRONG_BELOW).length / meant.length;
  expect(wrong).toBeGreaterThan(0.1);
  expect(wrong).toBeLessThan(0.25);
});

test('a thread names what there was before, or what it has made itself, so that its program can be kept', () => {
  for (const program of PROGRAMS) {
    const found = [...flaws(traceOf({ program, schedule: [] }, 'a test'))];
    expect(found.filter(({ path: [where] }) => where === 'threads')).toEqual([]);
  }
  const gives = PROGRAMS.filter(({ branches }) => branches.flat().some((command) => 'as' in command));
  expect(gives.length).toBeGreaterThan(10);
});

test('a third of the programs run with the unmerged series, and only they ask for what it adds', () => {
  const asked = new Map<boolean, Set<string>>();
  for (const { kernel, branches } of PROGRAMS) {
    const does = branches.flat().map((command) => command.do);
    asked.set(kernel === 'v4', new Set([...(asked.get(kernel === 'v4') ?? []), ...does]));
  }
  const added = ['fd_mmap', 'vfio_dmabuf_revoke', 'vfio_dmabuf_memattr'];
  expect([true, false].map((has) => added.some((what) => asked.get(has)?.has(what)))).toEqual([true, false]);
  const share = PROGRAMS.filter(({ kernel }) => kernel === 'v4').length / PROGRAMS.length;
  expect(share).toBeGreaterThan(0.22);
  expect(share).toBeLessThan(0.45);
});
