/** A VFIO container against a naive list of bytes. */
import { expect, test } from 'vitest';
import { checkContainer } from '../../properties/container/container.ts';

test('whatever is mapped, cut and unmapped, a container answers and reaches as a list of bytes says', () => {
  const met = checkContainer(20261121, 1000);
  for (const what of [
    'an area was cut',
    'a buffer was not cut',
    'an unmap of a part was refused',
    'an unmap was refused half-way',
    'an empty range was unmapped',
    'something was unmapped',
  ]) {
    expect(met.get(what) ?? 0, what).toBeGreaterThan(20);
  }
});
