/** The call-order property: what each domain is called for, how often, and in which order. */
import { expect, test } from 'vitest';
import { CallOrderWatcher } from '../../properties/call-order.ts';
import { checkMapping } from '../../properties/mapping/walk.ts';
import { SEED } from './seed.ts';

test('I-21, I-22, I-35: calls ascend in whole pages, by area and slot; a domain has one for a buffer', () => {
  console.log(`seed ${SEED}`);
  const watchers: CallOrderWatcher[] = [];
  const watch = (): CallOrderWatcher => {
    watchers.push(new CallOrderWatcher());
    return watchers.at(-1) as CallOrderWatcher;
  };
  checkMapping({ seed: SEED, runs: 250, longest: 60, watch });
  expect(watchers.reduce((sum, { seen }) => sum + seen, 0)).toBeGreaterThan(500);
});
