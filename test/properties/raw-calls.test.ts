/** Raw system calls, in the test run: a fixed share of what `npx shootdown check --raw` does, and that it can fail. */
import { expect, test } from 'vitest';
import { IommufdCtx } from '../../impl/iommufd/context.ts';
import { CALL_NAMES } from '../../properties/raw/calls.ts';
import { checkRaw, RawTally } from '../../properties/raw/raw.ts';
import { replace } from './plant.ts';
import { PLANTED } from './planted.ts';

const SEED = 20261121;
/** About 50,000 calls. */
const RUNS = 60;
const LONGEST = 1000;

test('raw calls, good and bad, get an answer each, and break nothing', () => {
  const tally = new RawTally();
  const breach = checkRaw({ seed: SEED, runs: RUNS, longest: LONGEST }, tally);
  if (breach !== undefined) throw new Error([...breach.history, breach.message].join('\n'));
  console.log(`seed ${SEED}, ${tally.calls} raw calls`);
  expect(tally.calls).toBeGreaterThan(25_000);
  // A good share gets deep: every call succeeds often, and is refused for what its bytes say. In the way of
  // CHANGE_PROCESS there is nearly always memory of a process, or a buffer.
  for (const name of CALL_NAMES) {
    expect(tally.count(name, 'ok'), name).toBeGreaterThan(name === 'IOAS_CHANGE_PROCESS' ? 10 : 30);
  }
  const succeeded = tally.errnos.find(([name]) => name === 'ok')?.[1] ?? 0;
  expect(succeeded / tally.calls).toBeGreaterThan(0.25);
  expect(tally.errnos.map(([name]) => name).sort()).toEqual(
    [
      ...[
        'E2BIG',
        'EADDRINUSE',
        'EBADF',
        'EBADFD',
        'EBUSY',
        'EEXIST',
        'EFAULT',
        'EINVAL',
        'EMSGSIZE',
        'ENODEV',
        'ENOENT',
      ],
      ...['ENOMEM', 'ENOSPC', 'ENOTTY', 'EOPNOTSUPP', 'EOVERFLOW', 'EPERM', 'ok'],
    ].sort(),
  );
});

test('the same seed makes the same calls, and gets the same answers', () => {
  const once = (seed: number): string[] => {
    const tally = new RawTally();
    checkRaw({ seed, runs: 8, longest: 200 }, tally);
    return tally.table;
  };
  expect(once(3)).toEqual(once(3));
  expect(once(3)).not.toEqual(once(4));
});

/** What goes wrong in page tables and in counts; what is only answered wrongly, a comparison with the model finds. */
const SEEN_HERE: Readonly<Record<string, readonly string[]>> = {
  'a revoke leaves the mappings of a domain alone': ['never mapped while revoked', 'splat'],
  'a revoke forgets all but the first page': ['never mapped while revoked', 'splat'],
  'device memory is mapped one page off': ['sub-page offsets correct', 'one MMIO range'],
  'a mapping is one page too short': ['one MMIO range', 'no double unmap', 'splat', 'a live area is not mapped'],
  'the first page of a mapping is left out': ['one MMIO range', 'a live area is not mapped'],
  'device memory is mapped like RAM': ['one MMIO range'],
  'an importer that leaves stays on the list': ['splat', 'audit'],
  'the third reference to a buffer is not counted': ['splat', 'audit'],
};

const found = (): string | undefined => checkRaw({ seed: 1, runs: 100, longest: 60 }, new RawTally())?.breach;

test.each(PLANTED.filter(({ bug }) => bug in SEEN_HERE).map((planted) => [planted.bug, planted] as const))(
  'where %s, raw calls find it',
  (bug, { plant }) => {
    const takeOut = plant();
    try {
      expect(SEEN_HERE[bug]).toContain(found());
    } finally {
      takeOut();
    }
    expect(PLANTED.filter((planted) => planted.bug in SEEN_HERE)).toHaveLength(Object.keys(SEEN_HERE).length);
  },
);

test('where a refused DESTROY leaves a reference behind, raw calls find that it has changed something', () => {
  const takeOut = replace(
    IommufdCtx.prototype,
    'destroy',
    (right) =>
      function* (this: IommufdCtx, id) {
        const answer = yield* right.call(this, id);
        const object = this.table[id];
        if (answer === 'EBUSY' && object !== undefined) object.users++;
        return answer;
      },
  );
  try {
    expect(found()).toBe('a refused call has changed something');
  } finally {
    takeOut();
  }
  expect(found()).toBeUndefined();
});

test('a failure comes with every call that led to it, shrunk to the few that matter', () => {
  const planted = PLANTED.find(({ bug }) => bug === 'device memory is mapped like RAM');
  const takeOut = planted?.plant();
  const breach = checkRaw({ seed: 1, runs: 100, longest: 60 }, new RawTally());
  takeOut?.();
  const history = breach?.history ?? [];
  expect(history.length).toBeLessThan(20);
  expect(history.at(-1)).toMatch(/^ioctl\(\d+, 0x3b8f, 28000000 .*did not return$/);
  expect(history).toContainEqual(expect.stringMatching(/^ioctl\(\d+, 0x3b81, .*IOAS_ALLOC: 0$/));
  expect(history[0]).toMatch(/^open \/dev\/(iommu|vfio\/vfio): 3$/);
});
