/**
 * A race of the reference texts as data: where it starts, who takes part, and every way in which it may end. Written
 * from the text alone; what is seen over all interleavings must be exactly that.
 */
import type { Thread } from '../../impl/kernel/thread.ts';
import type { Machine } from '../../impl/machine.ts';
import type { Command, Handle } from '../../trace/command.ts';
import type { MachineName } from './machines.ts';

/**
 * What no trace has a command for: the driver of an importing device, its work in flight, a pin of the CPU, and kernel
 * code of a test, which says itself what it answers.
 */
export type DriverStep =
  | { readonly do: 'importer'; readonly as: Handle; readonly kind: 'prompt' | 'late' | 'never' }
  | { readonly do: 'importer_attach'; readonly importer: Handle; readonly fd: Handle }
  | { readonly do: 'importer_map' | 'importer_unmap' | 'importer_detach'; readonly importer: Handle }
  | { readonly do: 'importer_submit'; readonly importer: Handle; readonly usage: FenceUsage; readonly fence: Handle }
  | { readonly do: 'fence_signal'; readonly fence: Handle }
  | { readonly do: 'access'; readonly ioas: Handle; readonly as: Handle }
  | { readonly do: 'access_pin'; readonly access: Handle; readonly iova: bigint; readonly length: bigint }
  | { readonly do: 'code'; readonly as: string; readonly thread: (machine: Machine) => Thread<string> };
export type FenceUsage = 'KERNEL' | 'WRITE' | 'READ' | 'BOOKKEEP';
export type Step = Command | DriverStep;

/** One thread: a call, or several in turn, of which the first that is refused is the last. */
export type Actor = Step | readonly Step[];

/** What else a case is judged by, besides what it always is. */
export interface Extra {
  /** Calls that domains got: `map DOMAIN IOVA LENGTH` and `unmap …`, sorted; an automatic one is called as its IOAS. */
  readonly calls?: readonly string[];
  /** Of those, the unmaps. */
  readonly unmaps?: readonly string[];
  /** Which importers were called back, in order. */
  readonly callbacks?: readonly Handle[];
  /** DMA maps of importers that live, of all buffers. */
  readonly maps?: number;
  /** Areas: `IOAS IOVA LENGTH`, ascending. */
  readonly areas?: readonly string[];
  /** Pages that are pinned. */
  readonly pins?: number;
  /** References that keep the driver of dev0. */
  readonly registrations?: number;
  /** How the CPU's mappings treat the memory. */
  readonly types?: readonly string[];
  /** Low power of dev0, and who keeps it awake. */
  readonly power?: string;
}

/** One way for a race to end. */
export interface End {
  /** Of each actor, in order, with `, ` between; those of one with `+` between. `blocked`: it has not returned. */
  readonly answers: string;
  /** The status of the buffers that are listed, by device and age: `OK`, `TEMP`, `PERM`. */
  readonly buffers: string;
  /** `DOMAIN IOVA → BYTE LENGTH`, by device and HWPT; nobody reaches anything else. */
  readonly reach: readonly string[];
  /** `PROCESS MAPPING → BYTE`: the pages that a CPU reaches without a fault. */
  readonly cpu: readonly string[];
  readonly extra: Extra;
}

/** An end that the text allows or seems to allow, and that cannot come about; why not. */
export interface Unreached {
  readonly answers: string;
  readonly why: string;
}

export interface Case {
  /** The starting state, in words. */
  readonly from: string;
  /** 7.3, unless it says. */
  readonly kernel?: string;
  /** Two devices on buses of their own, unless it says. */
  readonly machine?: Exclude<MachineName, 'two buses'>;
  readonly before: readonly Step[];
  readonly actors: readonly Actor[];
  /** The allocation that fails in the race: the nth of this name. */
  readonly fails?: { readonly site: string; readonly nth: number };
  /** Where more than a million schedules make a difference: only those of so many preemptions. */
  readonly preemptions?: number;
  /** Where there are too many for each run of the tests: only those of so many, unless all are asked for. */
  readonly quick?: number;
  /** Every end that is allowed. All look at the same extras. */
  readonly ends: readonly End[];
  readonly unreached?: readonly Unreached[];
}

export interface Race {
  readonly id: string;
  /** Who races, in the words of the text. */
  readonly actors: string;
  /** What the text allows, in our words. */
  readonly says: string;
  readonly cases: readonly Case[];
  /** For a reviewer: where the text leaves a choice, and which was taken. */
  readonly remarks?: readonly string[];
}

export interface RaceTable {
  /** What its races are asked for by, as `vfio` in `vfio-R8`. */
  readonly name: string;
  /** Where it is written, as `iommufd 4.5`. */
  readonly source: string;
  readonly races: readonly Race[];
}

/** `more`: what is reached, and what else the case looks at; nothing is reached, unless it says. */
export function end(
  answers: string,
  buffers: string,
  more: Extra & { readonly reach?: readonly string[]; readonly cpu?: readonly string[] } = {},
): End {
  const { reach = [], cpu = [], ...extra } = more;
  return { answers, buffers, reach, cpu, extra };
}

/** Actors that are alike: each end with the answers in the other order, too. */
export const mirrored = (...ends: readonly End[]): End[] =>
  ends.flatMap((each) => [each, { ...each, answers: each.answers.split(', ').reverse().join(', ') }]);

/** What a race is asked for by, as `iommufd-R1`. */
export const nameOf = ({ name }: RaceTable, { id }: Race): string => `${name}-${id}`;

/** Where it is written, as `iommufd 4.5, R1`. */
export const sourceOf = ({ source }: RaceTable, { id }: Race): string => `${source}, ${id}`;
