/**
 * Rounds and their medians: competitors take turns, so that whatever else the machine does meets them all alike. Time
 * is processor time of this process, its collector and compiler included: it stands while others have the core.
 */

/** One competitor: does some work, and answers how much it was in its unit (steps, operations). */
export interface Competitor {
  readonly name: string;
  readonly run: () => number;
}

/** Rounds that are not kept: code is slow until it is compiled. Much code takes more of them. */
const WARMING_UP = 2;

/** Nanoseconds a unit, for each competitor in each of `count` rounds. */
export function rounds(
  competitors: readonly Competitor[],
  count: number,
  milliseconds: number,
  warmingUp = WARMING_UP,
): number[][] {
  const kept: number[][] = competitors.map(() => []);
  for (let round = 0; round < warmingUp + count; round++) {
    for (const [i, { run }] of competitors.entries()) {
      const cost = costOf(run, milliseconds);
      if (round >= warmingUp) kept[i]?.push(cost);
    }
  }
  return kept;
}

/** Run again and again for so long: nanoseconds a unit. */
export function costOf(run: () => number, milliseconds: number): number {
  const start = process.cpuUsage();
  let units = 0;
  let microseconds: number;
  do {
    units += run();
    const { user, system } = process.cpuUsage(start);
    microseconds = user + system;
  } while (microseconds < milliseconds * 1000);
  return (microseconds * 1000) / units;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const high = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] ?? Number.NaN) + high) / 2;
}

/** The median of each round's cost, of what the competitor to compare with took in the same round. */
export const ratio = (costs: readonly number[], others: readonly number[]): number =>
  median(costs.map((cost, round) => cost / (others[round] ?? Number.NaN)));

/** What lies between the lowest and the highest, of the median: how far to trust it. */
export const spread = (values: readonly number[]): number =>
  (Math.max(...values) - Math.min(...values)) / median(values);
