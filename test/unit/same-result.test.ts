/** Whether two answers are the same: by all that either tells. */
import { expect, test } from 'vitest';
import { sameResult } from '../../properties/perform.ts';
import type { Result } from '../../trace/answer.ts';

const RANGES = [
  [0n, 9n],
  [20n, 29n],
] as const;

/** Each is another answer than all before it. */
const DIFFERENT: readonly Result[] = [
  { err: 'EINVAL' },
  { err: 'ENOENT' },
  { ok: {} },
  { ok: { iova: 0n } },
  { ok: { iova: 4096n } },
  { ok: { length: 4096n } },
  { ok: { iova: 4096n, length: 4096n } },
  { ok: { fault: true } },
  { ok: { target: 'm0+0x0' } },
  { ok: { target: 'm0+0x1000' } },
  { ok: { ranges: [], alignment: 1n } },
  { ok: { ranges: RANGES, alignment: 1n } },
  { ok: { ranges: RANGES, alignment: 4096n } },
  { ok: { ranges: RANGES.slice(0, 1), alignment: 4096n } },
  { ok: { ranges: [RANGES[0], [20n, 30n]], alignment: 4096n } },
  { ok: { ranges: [RANGES[0], [21n, 29n]], alignment: 4096n } },
  { ok: { alignment: 4096n } },
];

const another = (result: Result): Result => structuredClone(result);

test.each(DIFFERENT.map((result, i) => ({ result, i })))('$result is itself, and no other', ({ result, i }) => {
  expect(sameResult(result, another(result))).toBe(true);
  for (const [j, other] of DIFFERENT.entries()) {
    if (i !== j) expect([other, sameResult(result, another(other))]).toEqual([other, false]);
  }
});

test('the order in which an answer tells it does not matter', () => {
  expect(sameResult({ ok: { iova: 1n, length: 2n } }, { ok: { length: 2n, iova: 1n } })).toBe(true);
});
