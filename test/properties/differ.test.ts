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

/** What a sequence comes to when everything is compared after every `every`-th step: step and breach, or nothing. */
function outcome(drawn: Case, every: number): string | undefined {
  try {
    walk(drawn, undefined, (config, kernel) => newWorld(config, kernel, every));
    return undefined;
  } catch (error) {
    if (!(error instanceof Divergence)) throw error;
    return `${error.step}: ${error.breach}`;
  }
}

test('nothing is found in the implementation as it is', () => {
  expect(SEQUENCES.filter((drawn) => outcome(drawn, 1) !== undefined)).toEqual([]);
});

/** A bug that is found in so many sequences has been seen in many places. */
const ENOUGH = 10;

test.each(PLANTED)('when $bug, comparing what changed finds it at the same step as comparing everything', (planted) => {
  takeOut = planted.plant();
  const everything: string[] = [];
  for (const [at, drawn] of SEQUENCES.entries()) {
    const found = outcome(drawn, 1);
    if (found === undefined) continue;
    expect(outcome(drawn, Number.POSITIVE_INFINITY), `sequence ${at}`).toBe(found);
    if (everything.push(found) === ENOUGH) break;
  }
  expect(everything.length).toBeGreaterThan(3);
  const breaches = new Set(everything.map((it) => it.replace(/^\d+: /, '')));
  expect([...breaches].filter((breach) => !planted.breaches.includes(breach))).toEqual([]);
});
