/** The dirty property: a bitmap tells what was written, and nothing else, whatever is mapped and unmapped meanwhile. */
import { expect, test } from 'vitest';
import { DirtyWatcher } from '../../properties/dirty.ts';
import { checkMapping } from '../../properties/mapping/walk.ts';
import { SEED } from './seed.ts';

test('a dirty bitmap tells the leaves written since tracking began, no others, and forgets what it tells', () => {
  console.log(`seed ${SEED}`);
  const watchers: DirtyWatcher[] = [];
  const watch = (): DirtyWatcher => {
    watchers.push(new DirtyWatcher());
    return watchers.at(-1) as DirtyWatcher;
  };
  checkMapping({ seed: SEED, runs: 300, longest: 60, watch });
  expect(watchers.reduce((sum, { told }) => sum + told, 0)).toBeGreaterThan(150);
});
