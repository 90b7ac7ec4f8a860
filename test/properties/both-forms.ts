/**
 * What the implementation does in the form that this process has: by its threads, or with `--import` of
 * `uniprocessor/register.ts` for one processor. Prints what `uniprocessor.test.ts` compares.
 */
import { UNIPROCESSOR } from '../../impl/kernel/thread.ts';
import { Coverage } from '../../properties/coverage.ts';
import { Digest } from '../../properties/digest.ts';
import { FaultCoverage } from '../../properties/faults/coverage.ts';
import { checkFaults } from '../../properties/faults/property.ts';
import { reportOf } from '../../properties/regression.ts';
import { checkSequences } from '../../properties/sequential.ts';
import type { Planted } from './plant.ts';
import { PLANTED } from './planted.ts';
import { PLANTED_WAITS } from './planted-waits.ts';

/** What the random sequences of a seed find, as a person is told. */
function reported({ plant }: Planted): readonly string[] {
  const undo = plant();
  try {
    const { failure } = checkSequences({ seed: 1, runs: 60, longest: 60 });
    return failure === undefined ? ['nothing found'] : reportOf(failure);
  } finally {
    undo();
  }
}

const digest = new Digest();
const coverage = new Coverage();
checkSequences({ seed: 1, runs: 60, longest: 60, digest }, coverage);
const faults = new FaultCoverage();
const { failure } = checkFaults({ seed: 1, runs: 5, longest: 30 }, faults);

console.log(
  JSON.stringify({
    form: UNIPROCESSOR ? 'one processor' : 'threads',
    steps: coverage.steps,
    digest: digest.hex,
    coverage: coverage.table,
    faults: [faults.faults, faults.table, failure?.message],
    planted: [...PLANTED_WAITS, ...PLANTED.slice(0, 1)].map((planted) => [planted.bug, reported(planted)]),
  }),
);
