/** The check that looks only at what a step changed finds what the check of everything finds, on the same sequences. */
import * as fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { Divergence } from '../../properties/divergence.ts';
import { cases } from '../../properties/sequential.ts';
import { type Case, walk } from '../../properties/walk.ts';
import { newWorld } from '../../properties/world.ts';
import { PLANTED } from './planted.ts';

const SEQUENCES: readonly Case[] = fc.sample(cases(60), { seed: 4711, numRuns: 120 });

let takeOut: (() => void) | undefined;
afterEach(() => {
  takeOut?.();
  takeOut = undefined;
});

/** What each sequence comes to when everything is compared after every `every`-th step: step and breach, or nothing. */
const outcomes = (every: number): (string | undefined)[] =>
  SEQUENCES.map((drawn) => {
    try {
      walk(drawn, undefined, (config, kernel) => newWorld(config, kernel, every));
      return undefined;
    } catch (error) {
      if (!(error instanceof Divergence)) throw error;
      return `${error.step}: ${error.breach}`;
    }
  });

test('nothing is found in the implementation as it is', () => {
  expect(outcomes(1).filter(Boolean)).toEqual([]);
});

test.each(PLANTED)('when $bug, comparing what changed finds it at the same step as comparing everything', (planted) => {
  takeOut = planted.plant();
  const changes = outcomes(Number.POSITIVE_INFINITY);
  const everything = outcomes(1);
  expect(changes.filter(Boolean).length).toBeGreaterThan(3);
  expect(changes).toEqual(everything);
  const breaches = new Set(changes.filter((it) => it !== undefined).map((it) => it.replace(/^\d+: /, '')));
  expect([...breaches].filter((breach) => !planted.breaches.includes(breach))).toEqual([]);
});
