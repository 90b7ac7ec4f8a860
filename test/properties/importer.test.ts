/** The property of importers, in the test run: a fixed seed, or the one that SHOOTDOWN_SEED says. */
import { expect, test } from 'vitest';
import { Resv, USAGE, type Usage } from '../../impl/dmabuf/resv.ts';
import { Completion } from '../../impl/kernel/completion.ts';
import { checkImporters } from '../../properties/importers/property.ts';
import { seedOr } from './seed.ts';

const SEED = seedOr(20261121);
const RUNS = 1000;
const LONGEST = 80;

const TRIGGERS: readonly string[] = ['memory', 'reset', 'FLR', 'power', 'low power entry', 'hot reset', 'device close'];

/** What must have occurred, or the sequences prove less than they seem to. */
const MUST: readonly string[] = [
  ...TRIGGERS.flatMap((trigger) => [`${trigger} ok`, `${trigger} waits`]),
  ...[
    'low power exit',
    'export',
    'pin',
    'detach',
    'submit',
    'import sync file',
    'close',
    'unmap',
    'unmap area',
  ].flatMap((call) => [`${call} ok`, `${call} waits`]),
  ...['ok', 'ENODEV', 'EOPNOTSUPP', 'waits'].flatMap((answer) => [`attach ${answer}`, `map area ${answer}`]),
  ...['ok', 'ENODEV', 'waits'].map((answer) => `map ${answer}`),
  ...['ok', 'waits', 'ENOTTY', 'ENODEV', 'EBADFD'].map((answer) => `revoke for good ${answer}`),
  ...['hot reset EINVAL', 'hot reset EBUSY', 'low power entry EINVAL', 'device open ok', 'wake ok'],
];

/** For what a trigger must have waited: fences of each usage, and importers of each kind. */
const WAITED_FOR: readonly RegExp[] = [
  ...Object.keys(USAGE).map((usage) => new RegExp(`^memory off of dev0 .*waits for fence [fs]\\d+ \\(${usage}\\)$`)),
  ...['late', 'never'].map((kind) => new RegExp(`^reset of dev0 .*waits for the unmap of importer ${kind}\\d+ of`)),
  /waits for \d unmaps of importer/,
  /waits for the unmap of importer \S+ and the unmap of importer/,
  /^worker of prompt\d+ waits for .*resv, held by \w/,
  /^revoke for good of .* waits for the unmap of importer/,
  / waits for dev\d.memory_lock\(W\), held by hot reset of dev\d/,
  /^device (close|open) of dev\d .* waits for bus\d.lock, held by (hot reset|device close) of dev\d/,
];

test('calls return and wait as promised in random sequences with importers, and nothing is left behind', () => {
  console.log(`seed ${SEED}`);
  const answers = new Set<string>();
  const unseen = new Set(WAITED_FOR);
  const failure = checkImporters({ seed: SEED, runs: RUNS, longest: LONGEST }, (step, answer, waiting) => {
    answers.add(`${step.do} ${answer}`);
    for (const line of waiting) for (const reason of unseen) if (reason.test(line)) unseen.delete(reason);
  });
  if (failure !== undefined) throw new Error(failure);
  expect(MUST.filter((pair) => !answers.has(pair))).toEqual([]);
  expect([...unseen].map(String)).toEqual([]);
});

/** The steps of a shrunk failure, without what closes everything. */
const stepsOf = (message: string): string[] => message.split('\n').filter((line) => /^ +\d+ {2}/.test(line));

test('a revoke that waits for KERNEL fences alone is found out: the call returns too early', () => {
  const { prototype } = Resv;
  const right = prototype.testSignaled;
  prototype.testSignaled = function (this: Resv, usage: Usage) {
    return right.call(this, usage === USAGE.BOOKKEEP ? USAGE.KERNEL : usage);
  };
  try {
    const message = checkImporters({ seed: 1, runs: 100, longest: LONGEST }) ?? 'nothing was found out';
    expect(message).toMatch(/who returns:\n.*: ok\nby the documents:\n {4}nobody/);
    expect(message).toMatch(/by the documents:\n.* waits for fence \S+ \((WRITE|READ|BOOKKEEP)\)$/m);
    expect(stepsOf(message).length).toBeLessThan(5);
  } finally {
    prototype.testSignaled = right;
  }
});

test('a drain that is never complete is found out: the trigger waits for nobody', () => {
  const { prototype } = Completion;
  const right = prototype.complete;
  prototype.complete = function (this: Completion) {
    if (!this.name.includes('dmabuf')) right.call(this);
  };
  try {
    const message = checkImporters({ seed: 1, runs: 100, longest: LONGEST }) ?? 'nothing was found out';
    expect(message).toMatch(/waits for an unmap that nobody owes of dev\d\.dmabuf\d$/m);
    expect(stepsOf(message).length).toBeLessThan(4);
  } finally {
    prototype.complete = right;
  }
});
