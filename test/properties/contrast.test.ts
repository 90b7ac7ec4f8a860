/**
 * Type 1 must break the invariant, in three ways and in no other; dma-buf, by the same steps, must not. An expected
 * failure: when it is not found, or shrinks to something else, the harness is wrong, or type 1 is no longer type 1.
 */
import { expect, test } from 'vitest';
import { contrasts, dmabuf, meet, shrunk, type1 } from '../../properties/contrast/contrast.ts';
import type { Step } from '../../properties/contrast/step.ts';
import { pictureOf } from './contrast-picture.ts';
import { FILES, textOf } from './contrast-text.ts';

const RUNS = 400;
const FOUND = contrasts(20261121, RUNS);

const MAPPED: readonly Step[] = [
  { do: 'mmapBar', page: 0, pages: 1 },
  { do: 'mapDma', map: 0, at: 0 },
];
const MINIMAL: readonly (readonly [string, readonly Step[]])[] = [
  ['memory', [...MAPPED, { do: 'memory', how: 'command', on: false }]],
  ['munmap', [...MAPPED, { do: 'munmap', map: 0 }]],
  // A mapping of the BAR keeps the device open, so a close alone takes nothing back.
  ['closeDev', [...MAPPED, { do: 'munmap', map: 0 }, { do: 'closeDev' }]],
];

test.each([
  ['20261121', FOUND],
  ['1', contrasts(1, RUNS)],
])(
  'V-69: type 1 breaks `never mapped while revoked` in three ways, each shrunk to its minimum, seed %s',
  (_, found) => {
    expect(found.map(({ kind, type1 }) => [kind, type1.map(({ step }) => step)])).toEqual(MINIMAL);
    for (const { type1 } of found) {
      const last = type1.at(-1);
      expect(last?.broken).toEqual([
        'domain container, IOVA 0x1000000: dev0:2+0x0 is mapped, but its owner has taken it back',
      ]);
      expect(last?.reach).toEqual(['0x1000000 → dev0:2+0x0']);
    }
  },
);

test('V-39: by dma-buf no sequence of the same steps breaks it, though much that was mapped is taken back', () => {
  const { broke, took } = meet(dmabuf, 20261121, RUNS);
  expect([...broke]).toEqual([]);
  expect([...took.keys()].sort()).toEqual(['closeDev', 'memory', 'munmap', 'reset', 'unmapDma']);
  for (const times of took.values()) expect(times).toBeGreaterThan(1);
});

test('by type 1 nothing takes from the peer what it reaches, but an unmap that the user asks for', () => {
  expect([...meet(type1, 20261121, RUNS).took.keys()]).toEqual(['unmapDma']);
});

test('the steps that break it by type 1 do not by dma-buf: what was lent is unmapped, or lent still', () => {
  const after = FOUND.map(({ kind, dmabuf }) => [kind, dmabuf.at(-1)?.reach, dmabuf.flatMap(({ broken }) => broken)]);
  expect(after).toEqual([
    ['memory', [], []],
    ['munmap', ['0x1000000 → dev0:2+0x0'], []],
    ['closeDev', [], []],
  ]);
  for (const { dmabuf } of FOUND) expect(dmabuf[1]?.reach).toEqual(['0x1000000 → dev0:2+0x0']);
});

test('a step that takes nothing away is no way to break it', () => {
  expect(shrunk(type1, 'reset', 20261121, RUNS)).toBeUndefined();
  expect(shrunk(type1, 'touch', 20261121, RUNS)).toBeUndefined();
});

test.each(FILES)('docs/contrast/%s is the counterexample that is found', async (file, kind) => {
  const found = FOUND.find((it) => it.kind === kind);
  if (found === undefined) throw new Error(`no counterexample by ${kind}`);
  await expect(textOf(found)).toMatchFileSnapshot(`../../docs/contrast/${file}`);
});

test('the picture in the README is of what is found', async () => {
  await expect(pictureOf(FOUND)).toMatchFileSnapshot('../../docs/contrast.svg');
});

test('a picture has no text that is wider than its column', () => {
  const [first] = FOUND;
  if (first === undefined) throw new Error('no counterexample');
  const [step, ...rest] = first.type1;
  if (step === undefined) throw new Error('no step');
  const wide = { ...step, lines: [{ shown: 'mmap '.repeat(12), answer: 'ok' }] };
  expect(() => pictureOf([{ ...first, type1: [wide, ...rest] }])).toThrow('is too wide');
});
