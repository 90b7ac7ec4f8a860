/** A crash is told alike on every machine: it ends in the name and the text of a regression. */
import { expect, test } from 'vitest';
import { crashOf } from '../../properties/crash.ts';

/** Test files have a query of vitest's behind their name. */
const PLACE = /^at test\/unit\/crash\.test\.ts(\?\S+)?:\d+:\d+$/;

test('a crash says what and where, by the path in this project', () => {
  const [what, where] = crashOf(new TypeError('no such area'));
  expect(what).toBe('TypeError: no such area');
  expect(where).toMatch(PLACE);
});

test('a message of several lines does not hide the place', () => {
  const [what, where] = crashOf(new Error('first\nsecond'));
  expect(what).toBe('Error: first');
  expect(where).toMatch(PLACE);
});

test('whatever else is thrown has no place', () => {
  expect(crashOf('why')).toEqual(['why', '']);
});
