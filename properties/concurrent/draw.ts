/** Programs as fast-check draws and shrinks them: the machine first, so that the simplest come first. */
import * as fc from 'fast-check';
import type { Schedule } from '../../explore/interleave.ts';
import type { Command } from '../../trace/command.ts';
import { FIELD, type Intent, intentFor, intents, MIX } from '../intents.ts';
import { SETTINGS } from '../machines.ts';
import type { Meant } from './program.ts';

/** A program with one schedule for it. */
export interface Drawn extends Meant {
  readonly schedule: Schedule;
}

/** How often each command is in a branch, beside the others: those that take memory back, and those that meet them. */
const MEETS: Partial<Readonly<Record<Command['do'], number>>> = {
  vfio_memory: 14,
  vfio_reset: 8,
  ioas_map_file: 14,
  ioas_unmap: 14,
  ioas_copy: 10,
  vfio_attach: 9,
  vfio_detach: 6,
  hwpt_alloc: 6,
  destroy: 7,
  vfio_hot_reset: 6,
  vfio_power: 5,
  vfio_flr: 4,
  vfio_low_power_entry: 6,
  vfio_low_power_exit: 3,
  vfio_dmabuf_revoke: 7,
  mock_revoke: 6,
  mock_domain: 4,
  mock_domain_destroy: 4,
  vfio_close: 5,
  vfio_bind: 3,
  vfio_export: 5,
  fd_close: 5,
  ioas_map: 4,
  bar_mmap: 3,
  fd_mmap: 4,
  peek: 8,
  munmap: 4,
  iommufd_close: 3,
};
const WEIGHTED: readonly Command['do'][] = MIX.flatMap(([what]) => Array<Command['do']>(MEETS[what] ?? 1).fill(what));

const LONGEST_PREFIX = 20;
const LONGEST_BRANCH = 3;
const PREEMPTIONS = 6;
/** Steps between two preemptions; a command takes 3 to 40. */
const GAP = 24;

/** What a prefix begins with: everything that a map needs; two devices that reach an area; and what the CPU maps. */
const MAPPED = Array.from({ length: 6 }, () => intentFor('ioas_map_file', { at: 1 }));
const ATTACHED = [...MAPPED, intentFor('vfio_attach')];
const LEADS: readonly (readonly Intent[])[] = [
  ATTACHED,
  MAPPED,
  [...ATTACHED, intentFor('bar_mmap'), intentFor('peek'), intentFor('fd_mmap')],
  [
    intentFor('vfio_bind'),
    ...ATTACHED,
    intentFor('vfio_bind'),
    intentFor('vfio_bind'),
    intentFor('vfio_export', { pick: 1 }),
    intentFor('vfio_attach', { pick: 1 }),
    intentFor('ioas_map_file', { from: 16, at: 9 }),
    intentFor('ioas_copy', { at: 20 }),
  ],
  [],
];

const field = fc.nat(FIELD - 1);
const where = fc.record({ pick: field, from: field, at: field });

/** What an intent of a branch is about: mostly what the others are about, too. */
const near = fc.record({ own: fc.nat(3), what: fc.constantFrom(...WEIGHTED), where, size: field, how: field });

const branch = fc.array(near, { minLength: 1, maxLength: LONGEST_BRANCH });

/** One place on, or the other where there are three branches. */
const schedule = fc.array(fc.record({ after: fc.nat(GAP), to: fc.constantFrom(1, 2) }), { maxLength: PREEMPTIONS });

export const programs: fc.Arbitrary<Drawn> = fc
  .record({
    on: fc.constantFrom(...SETTINGS),
    lead: fc.constantFrom(...LEADS),
    intents: intents(LONGEST_PREFIX),
    meet: where,
    branches: fc.array(branch, { minLength: 2, maxLength: 3 }),
    schedule,
  })
  .map(({ on, lead, intents, meet, branches, schedule }) => ({
    ...on,
    schedule: schedule.map(({ after, to }) => ({ after, to: branches.length > 2 ? to : 1 })),
    prefix: [...lead, ...intents],
    branches: branches.map((each) =>
      each.map(({ own, what, where, size, how }) => intentFor(what, { ...(own === 0 ? where : meet), size, how })),
    ),
  }));
