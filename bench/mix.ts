/**
 * The mixes that steps are counted on, whoever takes them: the stated one, on which the targets are set; one of
 * more areas, which was the stated one before; and that of `npm test`, which goes for rare answers.
 */
import type * as fc from 'fast-check';
import { type Intent, intentFor, intents, MIX } from '../properties/intents.ts';
import { MACHINES } from '../properties/machines.ts';
import type { Command } from '../trace/command.ts';
import type { MachineConfig } from '../trace/machine-config.ts';

export const MACHINE = 'two devices';
export const KERNEL = '7.3';
/** What the targets ask of the stated mix: at least so many live areas in the mean, so much of it successful. */
export const ASKED = { liveAreas: 8, successful: 0.6 } as const;
/** Sequences have from 1 to so many drawn commands: long enough for eight live areas in the mean. */
export const LONGEST = 1000;
/** Sequences in one go. */
export const SEQUENCES = 20;

export const config = MACHINES.get(MACHINE) as MachineConfig;

type Shares = readonly (readonly [what: Command['do'], share: number])[];

/**
 * How often each command is meant in the stated mix, of 1000: every one that a machine with devices knows, but mostly
 * map, copy and unmap, reads, exports, attaches, and what revokes; the others rarely.
 */
const STATED: Shares = [
  ['ioas_map_file', 285],
  ['ioas_copy', 110],
  ['ioas_unmap', 153],
  ['ioas_map', 80],
  ['dma_read', 120],
  ['ioas_iova_ranges', 50],
  ['vfio_export', 30],
  ['vfio_memory', 26],
  ['vfio_attach', 28],
  ['fd_close', 15],
  ['hwpt_alloc', 6],
  ['destroy', 6],
  ['vfio_reset', 8],
  ['vfio_flr', 8],
  ['vfio_hot_reset', 7],
  ['vfio_power', 8],
  ['vfio_low_power_entry', 2],
  ['vfio_low_power_exit', 2],
  ['vfio_wake', 1],
  ['vfio_dmabuf_revoke', 1],
  ['vfio_dmabuf_memattr', 2],
  ['vfio_detach', 5],
  ['fd_dup', 5],
  ['ioas_alloc', 4],
  ['mem_alloc', 4],
  ['memfd_create', 4],
  ['vfio_open', 2],
  ['vfio_bind', 3],
  ['vfio_close', 1],
  ['iommufd_open', 1],
  ['iommufd_close', 1],
  ['peek', 6],
  ['bar_mmap', 5],
  ['ioas_allow_iovas', 3],
  ['ioas_option_huge_pages', 2],
  ['munmap', 2],
  ['fd_mmap', 2],
  ['fork', 1],
  ['exit', 1],
];

/** Where the mix of more areas differs: more is mapped, and less unmapped. */
const MORE_AREAS: ReadonlyMap<Command['do'], number> = new Map([
  ['ioas_map_file', 310],
  ['ioas_unmap', 130],
  ['fork', 0],
  ['exit', 0],
]);

/** Intents are drawn below this, whatever they mean in `npm test`. */
const DRAWN = MIX.reduce((sum, [, weight]) => sum + weight, 0);

export interface Mix {
  readonly name: string;
  /** An intent that was drawn for `npm test`, as this mix has it. */
  readonly intent: (drawn: Intent) => Intent;
  /** Whole sequences. */
  readonly intents: fc.Arbitrary<readonly Intent[]>;
}

/** `wrongTimes` as many intents as in `npm test`, where it is one in six, are wrong on purpose. */
function mixOf(name: string, shares: Shares, wrongTimes: number): Mix {
  const meant: readonly number[] = shares.flatMap(([what, share]) => Array<number>(share).fill(intentFor(what).what));
  const intent = ({ what, pick, from, size, at, how, odd }: Intent): Intent => ({
    what: meant[Math.floor((what * meant.length) / DRAWN)] as number,
    pick,
    from,
    size,
    at,
    how,
    odd: Math.floor(odd / wrongTimes),
  });
  return { name, intent, intents: intents(LONGEST, intent) };
}

export const TEST_MIX: Mix = { name: 'npm test', intent: (drawn) => drawn, intents: intents(LONGEST) };
export const STATED_MIX = mixOf('stated', STATED, 3.4);
export const FULLER_MIX = mixOf(
  'more areas',
  STATED.map(([what, share]) => [what, MORE_AREAS.get(what) ?? share]),
  3,
);
