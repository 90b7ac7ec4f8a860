/** Search in lists that ascend: it costs the logarithm of their length. */

/** The last element that begins at `at` or before. */
export const lastFrom = <T>(all: readonly T[], at: number, startOf: (one: T) => number): T | undefined =>
  all[indexFrom(all, at, startOf)];

/** Where it stands; -1 where there is none. */
export function indexFrom<T>(all: readonly T[], at: number, startOf: (one: T) => number): number {
  let low = 0;
  let high = all.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (startOf(all[middle] as T) <= at) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
