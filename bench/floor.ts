/**
 * What a step of the stated mix is made of: the intents of walked sequences drawn and resolved once more, and their
 * commands once more carried out by the implementation alone, by the model alone, and by both, with nobody looking. No
 * harness of these two can be faster than both together.
 */
import * as fc from 'fast-check';
import { Machine } from '../impl/machine.ts';
import { initial, type State, step } from '../model/spec.ts';
import type { Intent } from '../properties/intents.ts';
import { choiceIn } from '../properties/perform.ts';
import { resolve } from '../properties/resolve/resolve.ts';
import { type Witness, walk } from '../properties/walk.ts';
import type { Command } from '../trace/command.ts';
import { config, KERNEL, SEQUENCES, STATED_MIX } from './mix.ts';
import { median, rounds, spread } from './rounds.ts';
import { percent, printTable, whole } from './table.ts';

const ROUNDS = 7;
const MILLISECONDS = 500;
const WARMING_UP = 4;

interface Done {
  /** What the command was resolved from; those that close have none. */
  readonly intent: Intent | undefined;
  readonly before: State;
  readonly command: Command;
  /** The automatic IOVA that the implementation had chosen. */
  readonly choice: bigint | undefined;
}
type Sequence = readonly Done[];

/** `walkSome` walks some sequences, and answers how many steps that was. */
export function floor(walkSome: (seed: number) => number): void {
  let seed = 1;
  const sequences = walked();
  const rows = [
    { name: 'drawing', run: draw },
    { name: 'resolving', run: () => count(sequences, resolveAll) },
    { name: 'the implementation', run: () => count(sequences, runImplementation) },
    { name: 'the model', run: () => count(sequences, runModel) },
    { name: 'one, then the other', run: () => count(sequences, runBoth) },
    { name: 'the walk of the property', run: () => walkSome(seed++) },
  ];
  const costs = rounds(rows, ROUNDS, MILLISECONDS, WARMING_UP);
  printTable(
    ['parts of a step, one core', 'steps/s', 'µs/step', 'spread'],
    rows.map(({ name }, i) => {
      const cost = costs[i] ?? [];
      return [name, whole(1e9 / median(cost)), (median(cost) / 1000).toFixed(2), percent(spread(cost))];
    }),
  );
  console.log('Comparing is what the walk takes beyond the first four, and so are caches that others have filled.\n');
}

/** Intents that nobody resolves. */
function draw(): number {
  let drawn = 0;
  const property = fc.property(STATED_MIX.intents, ({ length }) => {
    drawn += length;
  });
  fc.assert(property, { seed: 1, numRuns: SEQUENCES });
  return drawn;
}

/** Sequences of the stated mix, to their ends. */
function walked(): Sequence[] {
  const sequences: Sequence[] = [];
  const property = fc.property(STATED_MIX.intents, fc.nat(), (intents, closing) => {
    const done: Done[] = [];
    const witness: Witness = (_world, before, { command, result }) => {
      done.push({ intent: intents[done.length], before, command, choice: choiceIn(command, result) });
    };
    walk({ config, kernel: KERNEL, intents, closing }, witness);
    sequences.push(done);
  });
  fc.assert(property, { seed: 1, numRuns: SEQUENCES });
  return sequences;
}

function resolveAll(sequence: Sequence): void {
  for (const { intent, before } of sequence) if (intent !== undefined) resolve(intent, before);
}

function count(sequences: readonly Sequence[], run: (sequence: Sequence) => void): number {
  let steps = 0;
  for (const sequence of sequences) {
    run(sequence);
    steps += sequence.length;
  }
  return steps;
}

function runImplementation(sequence: Sequence): void {
  const machine = new Machine(config, KERNEL);
  for (const { command } of sequence) {
    machine.execute(command);
    machine.takeCalls();
  }
}

function runModel(sequence: Sequence): void {
  let state = initial(config);
  for (const { command, choice } of sequence) {
    const outcome = step(state, command, choice);
    if ('state' in outcome && outcome.state !== undefined) state = outcome.state;
  }
}

function runBoth(sequence: Sequence): void {
  runImplementation(sequence);
  runModel(sequence);
}
