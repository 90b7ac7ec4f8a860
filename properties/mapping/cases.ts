/**
 * Cases for the properties of the mapping side that the model does not speak of: intents as in any sequence, but mostly
 * about memory, and with each a draw that decides what happens besides: another user, another limit, a write by DMA.
 */
import * as fc from 'fast-check';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';
import { FIELD, type Intent, intentFor } from '../intents.ts';
import { MACHINES } from '../machines.ts';

export interface MappingStep {
  readonly intent: Intent;
  /** Decides what happens besides; 0 is nothing. */
  readonly besides: number;
}

export interface MappingCase {
  readonly config: MachineConfig;
  readonly kernel: string;
  readonly steps: readonly MappingStep[];
  /** Decides the order in which everything is closed. */
  readonly closing: number;
}

/** How often each command is meant. */
const MIX: readonly (readonly [weight: number, what: Command['do']])[] = [
  [24, 'ioas_map'],
  [24, 'ioas_map_file'],
  [22, 'ioas_copy'],
  [8, 'ioas_unmap'],
  [10, 'vfio_attach'],
  [5, 'vfio_detach'],
  [8, 'hwpt_alloc'],
  [5, 'destroy'],
  [4, 'vfio_export'],
  [4, 'vfio_memory'],
  [2, 'vfio_reset'],
  [3, 'ioas_alloc'],
  [4, 'memfd_create'],
  [3, 'mem_alloc'],
  [2, 'fd_close'],
  [1, 'iommufd_open'],
  [1, 'iommufd_close'],
  [2, 'vfio_bind'],
  [1, 'vfio_close'],
];

const field = fc.nat(FIELD - 1);
/** All of the memory, and so large pages. */
const WHOLE = 1002;
const size = fc.oneof({ weight: 8, arbitrary: field }, { weight: 1, arbitrary: fc.constant(WHOLE) });
/** What `how`, modulo 16, must be for MAP_FILE of a memfd, and for attaching to a domain made by hand. */
const RARE = new Map<Command['do'], number>([
  ['ioas_map_file', 9],
  ['vfio_attach', 3],
]);

const intent: fc.Arbitrary<Intent> = fc
  .record({
    what: fc.oneof(...MIX.map(([weight, what]) => ({ weight, arbitrary: fc.constant(what) }))),
    fields: fc.record({ pick: field, from: field, size, at: field, how: field }),
    rare: fc.boolean(),
  })
  .map(({ what, fields, rare }) => {
    const wanted = rare ? RARE.get(what) : undefined;
    const how = wanted === undefined ? fields.how : fields.how - (fields.how % 16) + wanted;
    return intentFor(what, { ...fields, how });
  });

/** Values of `besides` are below this. */
const BESIDES = 2 ** 30;

export const mappingCases = (longest: number): fc.Arbitrary<MappingCase> =>
  fc.record({
    config: fc.constantFrom(...MACHINES.values()),
    kernel: fc.constantFrom('7.2', '7.3'),
    steps: fc.array(fc.record({ intent, besides: fc.nat(BESIDES - 1) }), {
      minLength: 1,
      maxLength: longest,
      size: 'max',
    }),
    closing: fc.nat(),
  });
