/** The property of triggers, in the test run: a fixed seed, or the one that SHOOTDOWN_SEED says. */
import { describe, expect, test } from 'vitest';
import { Fence, Resv } from '../../impl/dmabuf/resv.ts';
import { perform } from '../../properties/triggers/calls.ts';
import { type Ghost, newGhost } from '../../properties/triggers/ghost.ts';
import { expect as wanted } from '../../properties/triggers/oracle.ts';
import { type Answers, checkTriggers } from '../../properties/triggers/property.ts';
import { brokenRules, RULES, remember } from '../../properties/triggers/rules.ts';
import { type Buffer, TriggerScene } from '../../properties/triggers/scene.ts';
import type { Kind, Step } from '../../properties/triggers/step.ts';
import { seedOr } from './seed.ts';

const SEED = seedOr(20261120);
const RUNS = 1_000;
const LONGEST = 60;

/** What must have occurred, or the sequences prove less than they seem to. */
const MUST: readonly string[] = [
  ...['ok', 'EBUSY', 'EINVAL', 'ENOTTY'].map((answer) => `hotReset ${answer}`),
  ...['ok', 'EINVAL', 'EAGAIN'].map((answer) => `reset ${answer}`),
  ...['ok', 'EIO', 'EPERM', 'EAGAIN'].map((answer) => `open ${answer}`),
  ...['ok', 'EINVAL'].map((answer) => `lpEnter ${answer}`),
  ...['ok', 'EIO'].map((answer) => `command ${answer}`),
  ...['ok', 'ENODEV'].flatMap((answer) => [`attach ${answer}`, `map ${answer}`]),
  ...['ok', 'SIGBUS'].map((answer) => `touch ${answer}`),
  ...['flr', 'afFlr', 'power', 'lpExit', 'wake', 'export', 'close', 'closeFd', 'fence'].map((what) => `${what} ok`),
];

test('buffers are revoked when the trigger table says so, in random sequences, and the rules hold', () => {
  console.log(`seed ${SEED}`);
  const answers: Answers = new Map();
  const failure = checkTriggers({ seed: SEED, runs: RUNS, longest: LONGEST }, answers);
  if (failure !== undefined) throw new Error(failure);
  expect(MUST.filter((pair) => !answers.has(pair))).toEqual([]);
});

test('a revoke that waits for no fence is found out, and shrunk to the few steps that show it', () => {
  const { prototype } = Resv;
  const right = prototype.testSignaled;
  prototype.testSignaled = () => true;
  try {
    const message = checkTriggers({ seed: 1, runs: 300, longest: LONGEST }) ?? 'nothing was found out';
    expect(message).toMatch(/V-11: .* buffer 0 was revoked with a fence pending/);
    const steps = message.split('\n').filter((line) => /^ +\d+ {2}/.test(line));
    expect(steps.map((line) => line.split(/[ ,:]+/)[2]).slice(0, -1)).toEqual(['open', 'export', 'fence']);
  } finally {
    prototype.testSignaled = right;
  }
});

/** A device of which nothing is missing, three times, and one apart. */
const KINDS: readonly Kind[] = [0, 0, 0, 1].map((set, i) => ({
  virtual: false,
  flr: true,
  afFlr: true,
  pmReset: true,
  d3hot: true,
  linkFails: false,
  set,
  group: i === 0 ? 0 : 1,
}));

/** Two open devices with a buffer each, one of which an importer has mapped; and what the oracle thinks of them. */
function scene(): { scene: TriggerScene; ghost: Ghost; buffer: Buffer } {
  const scene = new TriggerScene(KINDS, '7.2');
  const ghost = newGhost(KINDS, false);
  const steps: readonly Step[] = [
    { do: 'open', dev: 0, ctx: 0 },
    { do: 'open', dev: 1, ctx: 0 },
    { do: 'export', dev: 0 },
    { do: 'export', dev: 1 },
    { do: 'attach', buf: 0 },
    { do: 'map', buf: 0 },
    { do: 'touch', dev: 0 },
  ];
  for (const step of steps) expect(perform(scene, step)).toBe(wanted(ghost, step));
  expect(brokenRules(scene, ghost)).toEqual([]);
  remember(scene);
  return { scene, ghost, buffer: scene.buffers[0] as Buffer };
}

type Broken = ReturnType<typeof scene>;
/** How a rule begins, what it says of that, and how it comes about. */
const SPOILS: readonly (readonly [says: string, breach: string, spoil: (it: Broken) => unknown])[] = [
  ['a buffer is revoked when', 'buffer 1 is revoked', ({ scene }) => revoked(scene.buffers[1] as Buffer)],
  ['without low power', 'buffer 1 is revoked', ({ scene }) => revoked(scene.buffers[1] as Buffer)],
  [
    'an importer is called once',
    'buffer 0 importer 0 was called 1 times, and not 0',
    ({ buffer }) => Object.assign(buffer.importers[0] ?? {}, { calls: 1 }),
  ],
  ['the token is 1', 'buffer 0 is revoked with 1 maps', ({ buffer }) => revoked(buffer)],
  ['the token is 1', 'buffer 0 has a token of 3 and 1 maps', ({ buffer }) => buffer.priv.kref.get()],
  ['the token is 1', 'buffer 0 has a token of 2 and 1 maps', ({ buffer }) => buffer.priv.comp.complete()],
  [
    'when a revoke returns',
    'buffer 0 was revoked with a fence pending',
    ({ buffer }) => {
      buffer.seen = { ...buffer.seen, fences: [new Fence('work', 1, 1)] };
      buffer.priv.revocations++;
    },
  ],
  ['a buffer that has lost', 'buffer 0 is usable without a device', ({ buffer }) => orphan(buffer)],
  ['a buffer that has lost', 'buffer 0 is on a list', ({ buffer }) => orphan(buffer)],
  [
    'a buffer that has lost',
    'buffer 0 has a device again',
    ({ buffer }) => Object.assign(buffer, { seen: { ...buffer.seen, orphan: true } }),
  ],
  [
    'a buffer that has lost',
    'buffer 0 is not on the list of its device',
    ({ buffer, scene }) => Object.assign(buffer.priv, { vdev: scene.devices[1] }),
  ],
  ['a device counts', 'dev1 counts 4, and not 3', ({ scene }) => scene.devices[1]?.registration.get()],
  [
    'the CPU has an entry',
    'dev0 does not answer, and the CPU reaches it',
    ({ ghost }) => Object.assign(ghost.devices[0] ?? {}, { memory: false }),
  ],
  ['the CPU has an entry', 'dev0 has no entry', ({ scene }) => scene.mm.pageTable.zap(0, Number.MAX_SAFE_INTEGER)],
  [
    'power, memory bit',
    'dev1 is 1 false true true, and not 0 false true true',
    ({ scene }) => Object.assign(scene.devices[1] ?? {}, { power: 1 }),
  ],
  [
    'nobody holds a lock',
    'dev0 is left locked',
    ({ scene }) => scene.holdMemory(scene.devices[0] as TriggerScene['devices'][number]),
  ],
];

describe('a rule', () => {
  test.each(SPOILS)('says what breaks it: %s: %s', (says, breach, spoil) => {
    const it = scene();
    spoil(it);
    const found = brokenRules(it.scene, it.ghost).filter((line) => line.includes(`: ${says}`));
    expect(found.join('\n')).toContain(breach);
  });

  test('has something here that breaks it', () => {
    const unbroken = RULES.filter((rule) => !SPOILS.some(([says]) => rule.says.startsWith(says)));
    expect(unbroken.map(({ says }) => says)).toEqual([]);
  });
});

const revoked = ({ priv }: Buffer): unknown => Object.assign(priv, { status: 'TEMP_REVOKED' });
const orphan = ({ priv }: Buffer): unknown => Object.assign(priv, { vdev: undefined });
