/** Who makes raw system calls: a process of a machine, with memory for their arguments. */
import type { Machine } from '../machine.ts';
import type { UserMemory } from './user-memory.ts';

export interface Caller {
  readonly machine: Machine;
  readonly memory: UserMemory;
  /** What an object that a call makes is called, in messages and by observers; no call says. */
  nameFor(kind: 'ioas' | 'hwpt'): string;
}
