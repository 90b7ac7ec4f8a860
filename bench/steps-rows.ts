/** What takes steps: the walk of the property, and fast-check's own model-based testing; and on which mixes. */
import * as fc from 'fast-check';
import { Coverage } from '../properties/coverage.ts';
import { type Witness, walk } from '../properties/walk.ts';
import { runBlind, runIntents } from './baseline.ts';
import { config, FULLER_MIX, KERNEL, type Mix, SEQUENCES, STATED_MIX, TEST_MIX } from './mix.ts';

/** What takes steps, and what they consist of. */
export interface Row {
  readonly name: string;
  readonly what: string;
  /** The name of the mix in the tables of mixes. */
  readonly mix: keyof typeof MIXES;
  /** Some sequences; how many steps that was. */
  readonly take: (seed: number) => number;
}

export const ROWS: readonly Row[] = [
  {
    name: 'the walk of the property',
    what: 'draws intents, resolves, runs both worlds, compares what the step changed, every 64th time all, and closes',
    mix: 'stated',
    take: (seed) => runWalk(seed, STATED_MIX),
  },
  {
    name: 'the same, and coverage',
    what: 'also counts answers and witnesses, as `npm test` and `check` do',
    mix: 'stated',
    take: (seed) => runWalk(seed, STATED_MIX, witnessOf(new Coverage())),
  },
  {
    name: 'the same, more areas',
    what: 'the walk alone, on what was the stated mix before: for comparison with figures of that time',
    mix: 'more areas',
    take: (seed) => runWalk(seed, FULLER_MIX),
  },
  {
    name: 'the same, mix of npm test',
    what: 'the walk alone, on more rare commands and fewer wrong ones',
    mix: 'npm test',
    take: (seed) => runWalk(seed, TEST_MIX),
  },
  {
    name: 'fc.commands, plain',
    what: 'draws the same intents one by one, and closes, too; compares all after each step: nobody knows what changed',
    mix: 'fc.commands',
    take: (seed) => runIntents(seed, { wholeEvery: 1 }),
  },
  {
    name: 'the same, compared as the walk',
    what: 'with our knowledge of what a step changed: what fc.commands itself costs',
    mix: 'fc.commands',
    take: (seed) => runIntents(seed),
  },
  {
    name: 'fc.commands, blind',
    what: 'compares as the walk does; arguments are drawn without a look at the state, and most are refused early',
    mix: 'blind',
    take: (seed) => runBlind(seed),
  },
];

export const witnessOf =
  (coverage: Coverage): Witness =>
  (world, before, performed) =>
    coverage.see(world, before, performed);

/** Walk some sequences; how many steps that was. */
export function runWalk(seed: number, { intents }: Mix, witness?: Witness): number {
  let count = 0;
  const property = fc.property(intents, fc.nat(), (drawn, closing) => {
    count += walk({ config, kernel: KERNEL, intents: drawn, closing }, witness).history.length;
  });
  fc.assert(property, { seed, numRuns: SEQUENCES });
  return count;
}

/** Takes some sequences of a mix, and somebody looks on. */
export type Sample = (seed: number, witness: Witness) => void;

/** The mixes, as those who take them draw and resolve them. */
export const MIXES = {
  stated: (seed, witness) => runWalk(seed, STATED_MIX, witness),
  'more areas': (seed, witness) => runWalk(seed, FULLER_MIX, witness),
  'npm test': (seed, witness) => runWalk(seed, TEST_MIX, witness),
  'fc.commands': (seed, witness) => runIntents(seed, { witness }),
  blind: (seed, witness) => runBlind(seed, { witness }),
} satisfies Record<string, Sample>;
