/** The property of importers, in the test run: a fixed seed, or the one that SHOOTDOWN_SEED says. */
import { expect, test } from 'vitest';
import { Resv, USAGE, type Usage } from '../../impl/dmabuf/resv.ts';
import { Completion } from '../../impl/kernel/completion.ts';
import { checkImporters } from '../../properties/importers/property.ts';
import type { Step } from '../../properties/importers/steps.ts';
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
  // Somebody else is at the function; and it has been pulled out, and is awake or asleep.
  ...['reset EAGAIN', 'hot reset EAGAIN', 'device open EAGAIN'],
  ...['reset ENOTTY', 'hot reset ENOTTY', 'device open ENODEV', 'removal waits'],
  ...['reset', 'hot reset', 'memory', 'power', 'export', 'low power exit', 'wake'].map((call) => `${call} EIO`),
];

/** Who may be missing for as long as there is anything else to do, as a line about it ends. */
const MISSING: Readonly<Record<string, RegExp>> = {
  ...Object.fromEntries(
    Object.keys(USAGE).map((usage) => [`work of a device (${usage})`, new RegExp(`fence hung-f\\d+ \\(${usage}\\)`)]),
  ),
  'a fence of user space': /fence hung-s\d+ \((READ|WRITE)\)/,
  'an importer that never unmaps': /waits for the unmap of importer never/,
};

/** What was seen of triggers while somebody was missing. */
class Stuck {
  readonly #seen = new Set<string>();

  /** `waiting` tells of `trigger of DEVICE`; others of another device may come about meanwhile. */
  see(step: Step, answer: string, waiting: readonly string[]): void {
    for (const line of waiting) {
      const [, trigger = '', , dev] = /^(.*?)( off| D3| with wakeup)? of (dev\d)/.exec(line) ?? [];
      if (!TRIGGERS.includes(trigger)) continue;
      for (const [party, says] of Object.entries(MISSING)) if (says.test(line)) this.#seen.add(`${trigger}: ${party}`);
      if (answer === 'ok' && 'dev' in step && step.dev !== dev && line.includes('hung'))
        this.#seen.add(`${step.do} of another device`);
    }
  }

  /** What should have been seen, and was not: who waits is told for each trigger; and no trigger of another waits. */
  get unseen(): string[] {
    const must = TRIGGERS.flatMap((trigger) => [
      ...Object.keys(MISSING).map((party) => `${trigger}: ${party}`),
      `${trigger} of another device`,
    ]);
    return must.filter((each) => !this.#seen.has(each));
  }
}

const MOST_ROUNDS = 5;

/** For what a trigger must have waited: fences of each usage, and importers of each kind. */
const WAITED_FOR: readonly RegExp[] = [
  ...Object.keys(USAGE).map(
    (usage) => new RegExp(`^memory off of dev0 .*waits for fence (hung-)?[fs]\\d+ \\(${usage}\\)$`),
  ),
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
  const stuck = new Stuck();
  const missing = (): readonly unknown[] => [...MUST.filter((pair) => !answers.has(pair)), ...unseen, ...stuck.unseen];
  // What is seldom may need another round under another seed than the usual one.
  for (let round = 0; round < MOST_ROUNDS && (round === 0 || missing().length > 0); round++) {
    const failure = checkImporters({ seed: SEED + round, runs: RUNS, longest: LONGEST }, (step, answer, waiting) => {
      answers.add(`${step.do} ${answer}`);
      stuck.see(step, answer, waiting);
      for (const line of waiting) for (const reason of unseen) if (reason.test(line)) unseen.delete(reason);
    });
    if (failure !== undefined) throw new Error(failure);
  }
  expect(MUST.filter((pair) => !answers.has(pair))).toEqual([]);
  expect([...unseen].map(String)).toEqual([]);
  expect(stuck.unseen).toEqual([]);
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
    const message = checkImporters({ seed: 2, runs: 100, longest: LONGEST }) ?? 'nothing was found out';
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
    const message = checkImporters({ seed: 2, runs: 100, longest: LONGEST }) ?? 'nothing was found out';
    expect(message).toMatch(/waits for an unmap that nobody owes of dev\d\.dmabuf\d$/m);
    expect(stepsOf(message).length).toBeLessThan(4);
  } finally {
    prototype.complete = right;
  }
});
