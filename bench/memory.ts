/** Whether sequences leave anything behind on the heap of this process, once they are over. */
import { checkSequences } from '../properties/sequential.ts';
import { collector, heapUsed } from './heap.ts';
import { mebibytes, printTable, whole } from './table.ts';

/** Intents in a sequence: from 1 to LONGEST, 30 in the mean. */
const LONGEST = 59;
const BATCH = 1000;
const LAST = 20_000;
/** Sequences after which the heap is weighed. */
const WEIGHED = [BATCH, 5000, 10_000, LAST];

interface Weight {
  readonly sequences: number;
  readonly steps: number;
  readonly objects: number;
  readonly code: number;
  readonly buffers: number;
}

export function memory(): void {
  const collect = collector();
  const weights: Weight[] = [];
  let steps = 0;
  for (let sequences = BATCH; sequences <= LAST; sequences += BATCH) {
    const { coverage, failure } = checkSequences({ seed: sequences, runs: BATCH, longest: LONGEST });
    if (failure !== undefined) throw failure;
    steps += coverage.steps;
    if (WEIGHED.includes(sequences)) weights.push(weigh(collect, sequences, steps));
  }
  const [first] = weights;
  printTable(
    ['sequences', 'steps', 'objects after GC', 'array buffers', 'growth', 'compiled code'],
    weights.map(({ sequences, steps: taken, objects, code, buffers }) => {
      const growth = first === undefined ? 0 : objects + buffers - first.objects - first.buffers;
      return [whole(sequences), whole(taken), ...[objects, buffers, growth, code].map(mebibytes)];
    }),
  );
  console.log(`Sequences of 1 to ${LONGEST} intents on every machine and kernel; none failed. Target: no growth.\n`);
}

function weigh(collect: () => void, sequences: number, steps: number): Weight {
  collect();
  return { sequences, steps, ...heapUsed(), buffers: process.memoryUsage().arrayBuffers };
}
