/** The strategies that the command line knows, by name. */
import { Deepening } from '../explore/deepening.ts';
import { Exhaustive } from '../explore/exhaustive.ts';
import { Pct } from '../explore/pct.ts';
import { RandomWalk } from '../explore/random-walk.ts';
import { Reduced } from '../explore/reduced.ts';
import { RoundRobin } from '../explore/round-robin.ts';
import type { Strategy } from '../explore/strategy.ts';
import { UsageError } from './usage.ts';

/** How the schedules are chosen. */
export interface Chooses {
  /** A strategy of its own for each search. */
  readonly make: (seed: number) => Strategy;
  /** It has nothing new some time. */
  readonly ends: boolean;
  /** And leaves out no end of a race until then. */
  readonly whole: boolean;
}

const DEFAULT_STRATEGY = 'pct:3';

/** Fails with a UsageError that names what there is. */
export function strategyOf(text = DEFAULT_STRATEGY): Chooses {
  const [name = '', number, ...more] = text.split(':');
  const parameter = number === undefined ? undefined : parameterOf(name, number);
  const takes = name === 'pct' || name === 'exhaustive';
  if (more.length === 0 && (takes || parameter === undefined)) {
    switch (name) {
      case 'random':
        return { make: (seed) => new RandomWalk(seed), ends: false, whole: false };
      case 'pct':
        return { make: (seed) => new Pct({ seed, depth: parameter ?? 3 }), ends: false, whole: false };
      case 'round-robin':
        return { make: () => new RoundRobin(), ends: true, whole: false };
      case 'exhaustive':
        return { make: () => new Exhaustive(parameter), ends: true, whole: parameter === undefined };
      case 'deepening':
        return { make: () => new Deepening(), ends: true, whole: true };
      case 'reduced':
        return { make: () => new Reduced(), ends: true, whole: true };
    }
  }
  throw new UsageError(
    `--strategy takes random, pct, pct:D, round-robin, exhaustive, exhaustive:N, deepening or reduced, not "${text}"`,
  );
}

function parameterOf(name: string, text: string): number | undefined {
  const least = name === 'pct' ? 1 : 0;
  if (/^[0-9]{1,9}$/.test(text) && Number(text) >= least) return Number(text);
  if (name !== 'pct' && name !== 'exhaustive') return Number.NaN;
  const form = name === 'pct' ? 'pct:D' : 'exhaustive:N';
  throw new UsageError(`--strategy ${form} takes a whole number from ${least} on, not "${text}"`);
}
