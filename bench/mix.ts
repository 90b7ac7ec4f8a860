/** The stated mix: what the steps are counted on, whoever takes them. */
import { MACHINES } from '../properties/machines.ts';
import type { MachineConfig } from '../trace/machine-config.ts';

export const MACHINE = 'two devices';
export const KERNEL = '7.3';
/** Sequences have from 1 to so many drawn commands: long enough for eight live areas in the mean. */
export const LONGEST = 1000;
/** Sequences in one go. */
export const SEQUENCES = 20;

export const config = MACHINES.get(MACHINE) as MachineConfig;
