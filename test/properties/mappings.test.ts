/** The property of mappings, in the test run: a fixed seed, or the one that SHOOTDOWN_SEED says. */
import { expect, test } from 'vitest';
import { CpuPageTable } from '../../impl/kernel/cpu-page-table.ts';
import { Vma } from '../../impl/kernel/vma.ts';
import { checkMappings, type Seen } from '../../properties/mm/property.ts';
import { SEED } from './seed.ts';

const RUNS = 2500;
const LONGEST = 30;

/** What must have occurred, or the sequences prove less than they seem to. */
const MUST: readonly string[] = [
  ...['map', 'munmap', 'munmap cuts in two', 'touch of device', 'touch of memfd', 'SIGBUS', 'SIGSEGV'],
  ...['zap', 'zap in several processes', 'fork', 'fork with a huge leaf', 'exit'],
];

test('processes map and reach what page arrays say, after any sequence of mmap, munmap, touch, zap, fork, exit', () => {
  console.log(`seed ${SEED}`);
  const seen: Seen = new Map();
  expect(checkMappings({ seed: SEED, runs: RUNS, longest: LONGEST }, seen)).toBe(undefined);
  console.log([...seen].map(([what, often]) => `${often} ${what}`).join(', '));
  expect(MUST.filter((what) => (seen.get(what) ?? 0) < 10)).toEqual([]);
});

/** The steps that a failure was shrunk to, by their first words. */
const stepsOf = (message: string | undefined): string[] =>
  (message ?? 'nothing was found out').split('\n').flatMap((line) => /^process \d: (\w+)/.exec(line)?.[1] ?? []);

test('a cut that leaves the page offset of the tail is found, and shrunk to a map and a munmap', () => {
  const { beginAt } = Vma.prototype;
  Vma.prototype.beginAt = function (page) {
    const { pgoff } = this;
    beginAt.call(this, page);
    this.pgoff = pgoff;
  };
  try {
    expect(stepsOf(checkMappings({ seed: 1, runs: RUNS, longest: LONGEST }))).toEqual(['map', 'munmap']);
  } finally {
    Vma.prototype.beginAt = beginAt;
  }
});

test('a zap that leaves huge leaves alone is found, and shrunk to a map, a touch and what should take the leaf', () => {
  const { zap } = CpuPageTable.prototype;
  CpuPageTable.prototype.zap = function (first, last) {
    if (this.leaves(first, last).every(({ order }) => order === 0)) zap.call(this, first, last);
  };
  try {
    const steps = stepsOf(checkMappings({ seed: 1, runs: RUNS, longest: LONGEST }));
    expect(steps.slice(0, 2)).toEqual(['map', 'touch']);
    expect(['zap', 'munmap']).toContain(steps[2]);
    expect(steps).toHaveLength(3);
  } finally {
    CpuPageTable.prototype.zap = zap;
  }
});
