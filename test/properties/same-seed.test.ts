/** The same seed does the same, to the last bit. */
import { expect, test } from 'vitest';
import { Coverage } from '../../properties/coverage.ts';
import { Digest } from '../../properties/digest.ts';
import { checkSequences } from '../../properties/sequential.ts';

function digestOf(seed: number, runs: number): string {
  const digest = new Digest();
  checkSequences({ seed, runs, longest: 60, digest }, new Coverage());
  return digest.hex;
}

test('two runs of one seed send the same commands and get the same answers', () => {
  expect(digestOf(1, 200)).toBe(digestOf(1, 200));
});

test('another seed does something else', () => {
  expect(digestOf(1, 10)).not.toBe(digestOf(2, 10));
});
