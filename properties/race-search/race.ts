/**
 * A race as data: what the world is like before it, who takes part, and how it may end. It is written from the
 * documents, before anybody has seen it run; the outcomes seen over all interleavings must equal those allowed.
 */
import type { Thread } from '../../impl/kernel/thread.ts';
import type { Machine } from '../../impl/machine.ts';
import type { Command } from '../../trace/command.ts';
import type { MachineConfig } from '../../trace/machine-config.ts';

/** One thread of the race: system calls in this order, or kernel code that says how it ended. */
export interface Actor {
  readonly name: string;
  readonly does: readonly Command[] | ((machine: Machine) => Thread<string>);
}

/** Commands that all succeed, one after the other; nothing has been done before but the machine being switched on. */
export interface Start {
  readonly name: string;
  readonly commands: readonly Command[];
}

/** How it ended. What is left out of an allowed outcome is empty. */
export interface Outcome {
  /** Of each actor, in their order: `ok`, `ok 0x1000`, an errno; several commands are joined by a comma. */
  readonly answers: readonly string[];
  /** What devices reach, as `dev0 0x1000000 → dev0:2+0x0 length 0x4000`. */
  readonly reach?: readonly string[];
  /** What the CPU reaches without a fault, as `v+0x0 → dev0:2+0x0 length 0x1000`. */
  readonly cpu?: readonly string[];
  /** Who has not returned, and for what he waits; his answer is `blocked`. */
  readonly blocked?: readonly string[];
}

export interface Race {
  /** What to ask for it by, as `map/revoke`. */
  readonly name: string;
  /** Where the allowed outcomes are written, as `iommufd 4.5, R1`. */
  readonly source: string;
  readonly machine: MachineConfig;
  /** What to behave like. */
  readonly kernel: string;
  readonly starts: readonly Start[];
  readonly actors: readonly Actor[];
  /** All of them, over all starts. */
  readonly allowed: readonly Outcome[];
}

/** The same outcome has the same words. */
export const wordsOf = ({ answers, reach = [], cpu = [], blocked = [] }: Outcome): string =>
  [
    answers.join(' | '),
    ...reach.map((line) => `reach ${line}`),
    ...cpu.map((line) => `cpu ${line}`),
    ...blocked.map((line) => `blocked ${line}`),
  ].join('; ');
