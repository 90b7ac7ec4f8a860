/** The property of accesses, in the test run: a fixed seed, or the one that SHOOTDOWN_SEED says. */
import { expect, test } from 'vitest';
import { PagesAccesses } from '../../impl/iommufd/pages-accesses.ts';
import { type Answers, checkAccesses } from '../../properties/access/property.ts';
import { seedOr } from './seed.ts';

const SEED = seedOr(20261120);
const RUNS = 250;
const LONGEST = 80;

/** What must have occurred, or the sequences prove less than they seem to. */
const MUST: readonly string[] = [
  ...['ok', 'EINVAL', 'EOVERFLOW', 'ENOENT', 'EPERM', 'EFAULT'].flatMap((answer) => [`pin ${answer}`, `rw ${answer}`]),
  ...['ok', 'ENOENT'].map((answer) => `unpin ${answer}`),
  ...['ok', 'ENOENT', 'EADDRINUSE'].map((answer) => `replace ${answer}`),
  ...['ok', 'EADDRINUSE'].map((answer) => `create ${answer}`),
  'reattach ok',
  ...['ok', 'EINVAL', 'ENOENT', 'EPERM', 'EFAULT'].map((answer) => `queue ${answer}`),
  ...['ok', 'ENOENT', 'EBUSY'].map((answer) => `ioas_unmap ${answer}`),
  ...['ok', 'EINVAL'].map((answer) => `change process ${answer}`),
  ...['ok', 'EFAULT'].flatMap((answer) => [`vfio_attach ${answer}`, `hwpt_alloc ${answer}`]),
  'destroy EBUSY',
  'exit ok',
];

test('accesses get what was promised of memory and pins in random sequences, and leave nothing behind', () => {
  console.log(`seed ${SEED}`);
  const answers: Answers = new Map();
  const failure = checkAccesses({ seed: SEED, runs: RUNS, longest: LONGEST }, answers);
  if (failure !== undefined) throw new Error(failure);
  expect(MUST.filter((pair) => !answers.has(pair))).toEqual([]);
});

test('a pin that is not found again is found out, and shrunk to the few steps that show it', () => {
  const { prototype } = PagesAccesses;
  const right = prototype.exact;
  prototype.exact = () => undefined;
  try {
    const message = checkAccesses({ seed: 1, runs: 100, longest: LONGEST }) ?? 'nothing was found out';
    expect(message).toMatch(/not pinned like that/);
    // Closing the access shows it.
    const steps = message.split('\n').filter((line) => /^ +\d+ {2}/.test(line) && !/close/.test(line));
    expect(steps.map((line) => line.split(/[ ,:]+/)[2])).toEqual(['map', 'create', 'pin']);
  } finally {
    prototype.exact = right;
  }
});
