/** Both worlds side by side, and what they have been through. */
import { Machine } from '../impl/machine.ts';
import { initial, type State } from '../model/spec.ts';
import type { Result } from '../trace/answer.ts';
import type { Command } from '../trace/command.ts';
import type { MachineConfig } from '../trace/machine-config.ts';
import type { Fault } from '../trace/trace.ts';
import type { CpuLooked } from './observe-cpu.ts';

export interface World {
  readonly config: MachineConfig;
  /** The kernel version that the implementation behaves like. */
  readonly kernel: string;
  readonly machine: Machine;
  /** A whole comparison of everything runs after every so many steps; the others compare what the step changed. */
  readonly wholeEvery: number;
  state: State;
  /** What was found when the CPU's mappings were last looked at. */
  cpu: CpuLooked | undefined;
  /** Every command so far, the fault in it, and what the implementation answered. */
  readonly history: { readonly command: Command; readonly fault?: Fault; readonly result?: Result }[];
}

/** How often everything is compared, where nobody says. */
const WHOLE_EVERY = 64;

export const newWorld = (config: MachineConfig, kernel: string, wholeEvery = WHOLE_EVERY): World =>
  worldOf(new Machine(config, kernel), config, kernel, wholeEvery);

/** The same with a machine that a test has made, beside the model of its kernel. */
export function worldOf(machine: Machine, config: MachineConfig, kernel: string, wholeEvery = WHOLE_EVERY): World {
  const state = initial(config, machine.kernel.features.mapsBuffers);
  return { config, kernel, machine, wholeEvery, state, cpu: undefined, history: [] };
}
