/**
 * The property of faults: for every machine, kernel and sequence of intents, whatever allocation, pin, map, copy or
 * descriptor fails in the last call, the world is what its rule says, and nothing is left when all is closed.
 */
import * as fc from 'fast-check';
import type { Command, Interval } from '../../trace/command.ts';
import { Divergence } from '../divergence.ts';
import { FIELD, type Intent, intentFor, intents, MIX } from '../intents.ts';
import { SETTINGS } from '../machines.ts';
import { FaultCoverage } from './coverage.ts';
import { type FaultCase, sweepFaults } from './walk.ts';

export interface FaultOptions {
  readonly seed: number;
  /** How many sweeps. */
  readonly runs: number;
  /** The most intents before the call that fails. */
  readonly longest: number;
}

export interface FaultReport {
  readonly runs: number;
  readonly coverage: FaultCoverage;
  /** The shrunk failure, if there was one. */
  readonly failure?: Divergence;
}

/** How often each command is the one that fails, beside the others: those with the most to undo more often. */
const LAST: Partial<Readonly<Record<Command['do'], number>>> = {
  ioas_map_file: 8,
  ioas_map: 5,
  ioas_copy: 8,
  vfio_attach: 8,
  hwpt_alloc: 6,
  mock_domain: 5,
  vfio_export: 4,
  vfio_bind: 4,
  fork: 6,
  munmap: 5,
  bar_mmap: 3,
  peek: 3,
};

/** Where no sequence maps. */
const MORE: readonly Interval[] = [
  [0x6000_0000n, 0x600f_ffffn],
  [0x6100_0000n, 0x610f_ffffn],
];

const WEIGHTED: readonly Command['do'][] = MIX.flatMap(([what]) => Array<Command['do']>(LAST[what] ?? 1).fill(what));

/** Before the first domain, memory of every kind in one IOAS. */
const MEMORY = [
  intentFor('memfd_create'),
  intentFor('mem_alloc', { size: 3 }),
  ...[3, 3, 3].map((how) => intentFor('ioas_map_file', { how })),
  intentFor('ioas_map'),
  intentFor('vfio_export'),
  intentFor('ioas_map_file', { size: FIELD - 1 }),
];

/** Besides, mappings of the CPU; a device that sleeps; two devices that are attached. */
const LEADS: readonly (readonly Intent[])[] = [
  [],
  MEMORY,
  MEMORY,
  [intentFor('bar_mmap'), intentFor('peek'), intentFor('fd_mmap')],
  [intentFor('vfio_attach'), intentFor('vfio_low_power_entry', { how: 1 })],
  [intentFor('vfio_attach'), intentFor('vfio_attach', { pick: 1 }), intentFor('ioas_alloc'), intentFor('hwpt_alloc')],
];

/** The most intents after the call. */
const TAIL = 4;

const field = fc.nat(FIELD - 1);
/** The largest is all of a memory. */
const size = fc.oneof(field, field, field, fc.constant(FIELD - 1));
/** 9 maps a memfd, if there is one. */
const how = fc.oneof(field, field, fc.constant(9));
const lasts = fc
  .record({ what: fc.constantFrom(...WEIGHTED), pick: field, from: field, size, at: field, how })
  .map(({ what, ...fields }) => intentFor(what, fields));

/** Every device reserves one range more, so that there is something to undo when the second cannot be had. */
const ON = SETTINGS.map(({ config, kernel }) => ({
  kernel,
  config: { ...config, reserved: [...config.reserved, ...MORE] },
}));

/** The machine and the kernel first, so that the simplest come first. */
export const faultCases = (longest: number): fc.Arbitrary<FaultCase> =>
  fc
    .record({
      on: fc.constantFrom(...ON),
      intents: intents(longest),
      lead: fc.constantFrom(...LEADS),
      last: lasts,
      tail: intents(TAIL),
      closing: fc.nat(),
    })
    .map(({ on, ...rest }) => ({ ...on, ...rest }));

/** Run sweeps until one fails, and shrink that. Deterministic: the same seed draws the same sweeps. */
export function checkFaults({ seed, runs, longest }: FaultOptions, coverage = new FaultCoverage()): FaultReport {
  // What was broken first. While fast-check shrinks, nothing counts as coverage, and only the same as a failure.
  let broken: string | undefined;
  let failure: unknown;
  const property = fc.property(faultCases(longest), (drawn) => {
    if (broken === undefined) coverage.sweeps++;
    try {
      sweepFaults(drawn, (command, fault, _answer, twice) => {
        if (broken === undefined) coverage.see(command.do, fault.site, twice);
      });
    } catch (error) {
      const breach = error instanceof Divergence ? error.breach : String(error);
      broken ??= breach;
      if (breach !== broken) return;
      failure = error; // The simplest so far, because only what fails is made simpler.
      throw error;
    }
  });
  const { numRuns, failed } = fc.check(property, { seed, numRuns: runs });
  if (!failed) return { runs: numRuns, coverage };
  if (failure instanceof Divergence) return { runs: numRuns, coverage, failure };
  throw failure;
}
