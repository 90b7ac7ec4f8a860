/** The leaf property: page tables hold the leaves that their map calls ask for. */
import { expect, test } from 'vitest';
import { LeafWatcher } from '../../properties/leaves.ts';
import { checkMapping } from '../../properties/mapping/walk.ts';
import { SEED } from './seed.ts';

test('I-67: at each address stands the largest leaf that divides IOVA and target, after any sequence', () => {
  console.log(`seed ${SEED}`);
  const seen = new Map<bigint, number>();
  checkMapping({ seed: SEED, runs: 400, longest: 50, watch: () => new LeafWatcher(seen) });
  const large = [...seen.keys()].some((size) => size > 0x1000n);
  expect([seen.has(0x800n), seen.has(0x1000n), large]).toEqual([true, true, true]);
});
