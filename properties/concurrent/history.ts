/**
 * What several threads did at once, as a plain value: the calls of each, when they began and returned, and what was
 * seen when nobody could go on. `linearize` decides whether the model explains it.
 */
import type { State } from '../../model/spec.ts';
import type { Result } from '../../trace/answer.ts';
import type { Command } from '../../trace/command.ts';
import type { Sight } from './sight.ts';

export interface Call {
  readonly command: Command;
  /** The numbers of the scheduled steps in which it began and returned: the first one of the run is 1. */
  readonly began: number;
  /** Absent: it is blocked, or has failed without an answer. */
  readonly returned?: number;
  /** There when it has returned; an automatic IOVA is the model's choice. */
  readonly result?: Result;
  /** Where the kernel has placed what it maps, also if it fails afterwards and does not answer it. */
  readonly placed?: bigint;
}

export interface History {
  /** The model's state before the first step. */
  readonly before: State;
  /** Each thread's calls, one after the other; those that never began are left out. */
  readonly branches: readonly (readonly Call[])[];
  readonly after: Sight;
}
