/**
 * A parsed trace: one machine, the steps that were taken, and after each step what the machine answered and what
 * a device could then reach. `parse.ts` makes these values, `write.ts` turns them into text again.
 */
import type { IommuCall, Reach, Result } from './answer.ts';
import type { Command, Handle } from './command.ts';
import type { MachineConfig } from './machine-config.ts';

/** Version 1 is what a kernel recorded; version 2 is a superset, written by this project. */
export type Version = 1 | 2;

/** A call that reached the IOMMU driver, and what only a version 2 trace says of it. */
export interface TracedCall {
  readonly call: IommuCall;
  /** Of a map: how the PTE treats the memory. */
  readonly memory?: 'mmio' | 'cache';
  /** The domain that was called. */
  readonly domain?: string;
}

/** The `nth` passage of a fault site fails, counted from 1 within the step. */
export interface Fault {
  readonly site: string;
  readonly nth: number;
}

export interface Step {
  readonly command: Command;
  /** Absent only in version 2: not returned, or not known. */
  readonly result?: Result;
  /** Why the command has not returned. */
  readonly blocked?: string;
  readonly fault?: Fault;
  /** In order; absent means none. */
  readonly iommu?: readonly TracedCall[];
  /** The whole of what each device named reaches after this step; one that is absent reaches what it did before. */
  readonly reach?: ReadonlyMap<Handle, readonly Reach[]>;
  readonly note?: string;
}

/** Run on for `after` steps, then hand over `to` places round the run queue. */
export interface Preemption {
  readonly after: number;
  readonly to: number;
}

/** What runs concurrently once the steps of the trace, its sequential prefix, are done. */
export interface Threads {
  readonly branches: readonly (readonly Step[])[];
  readonly schedule: readonly Preemption[];
}

export interface Recorded {
  readonly kernel: string;
  readonly lane?: 'vtd' | 'mock';
}

export interface Trace {
  readonly version: Version;
  readonly name: string;
  readonly about?: string;
  readonly note?: string;
  /** Where the answers come from: a real kernel gave them. */
  readonly recorded?: Recorded;
  /** The kernel to behave like, for a trace that none recorded. */
  readonly kernel?: string;
  readonly machine: MachineConfig;
  readonly steps: readonly Step[];
  readonly threads?: Threads;
}

/** The kernel whose behaviour a replay takes on, such as `"7.2.13"` or `"7.2"`; undefined leaves the choice. */
export const kernelOf = ({ recorded, kernel }: Trace): string | undefined => recorded?.kernel ?? kernel;
