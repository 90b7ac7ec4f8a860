/**
 * What the steps of the stated mix cost before anybody looks: the commands of walked sequences once more, by the
 * implementation alone, by the model alone, and by both. Nothing is drawn, resolved, compared or audited, so no harness
 * of these two can be faster.
 */
import * as fc from 'fast-check';
import { Machine } from '../impl/machine.ts';
import { initial, step } from '../model/spec.ts';
import { choiceIn } from '../properties/perform.ts';
import { walk } from '../properties/walk.ts';
import type { Command } from '../trace/command.ts';
import { config, KERNEL, SEQUENCES, STATED_MIX } from './mix.ts';
import { median, rounds, spread } from './rounds.ts';
import { percent, printTable, whole } from './table.ts';

const ROUNDS = 7;
const MILLISECONDS = 500;
const WARMING_UP = 4;

interface Done {
  readonly command: Command;
  /** The automatic IOVA that the implementation had chosen. */
  readonly choice: bigint | undefined;
}
type Sequence = readonly Done[];

export function floor(): void {
  const sequences = walked();
  const rows = [
    { name: 'the implementation alone', run: () => count(sequences, runImplementation) },
    { name: 'the model alone', run: () => count(sequences, runModel) },
    { name: 'one, then the other', run: () => count(sequences, runBoth) },
  ];
  const costs = rounds(rows, ROUNDS, MILLISECONDS, WARMING_UP);
  printTable(
    ['steps that nobody looks at, one core', 'steps/s', 'µs/step', 'spread'],
    rows.map(({ name }, i) => {
      const cost = costs[i] ?? [];
      return [name, whole(1e9 / median(cost)), (median(cost) / 1000).toFixed(2), percent(spread(cost))];
    }),
  );
}

/** Sequences of the stated mix, to their ends. */
function walked(): Sequence[] {
  const sequences: Sequence[] = [];
  const property = fc.property(STATED_MIX.intents, fc.nat(), (intents, closing) => {
    const { history } = walk({ config, kernel: KERNEL, intents, closing });
    sequences.push(history.map(({ command, result }) => ({ command, choice: result && choiceIn(command, result) })));
  });
  fc.assert(property, { seed: 1, numRuns: SEQUENCES });
  return sequences;
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
