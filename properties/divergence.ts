/**
 * A divergence: the worlds disagree, or one of them breaks an invariant. It carries what a person needs to judge it.
 */

import type { Command } from '../trace/command.ts';
import { showCommand } from '../trace/show.ts';
import type { World } from './world.ts';

/** What is broken; a regression is named after it. */
export type Breach = 'answer' | 'reach' | 'calls' | 'audit' | 'left over' | 'splat' | 'crash' | (string & {});

export class Divergence extends Error {
  readonly breach: Breach;
  /** Number of the step that shows it, from 1; one more than there are for the end of the sequence. */
  readonly step: number;
  readonly command: Command | undefined;
  /** What is wrong, a line each. */
  readonly details: readonly string[];
  /** Where it happened, with its history; set by whoever walks. */
  world: World | undefined;

  constructor(breach: Breach, step: number, command: Command | undefined, details: readonly string[]) {
    const where = command === undefined ? 'at the end' : `step ${step}, ${showCommand(command)}`;
    super([`${breach}: ${where}`, ...details.map((line) => `  ${line}`)].join('\n'));
    this.name = 'Divergence';
    this.breach = breach;
    this.step = step;
    this.command = command;
    this.details = details;
  }
}

export const showValue = (value: unknown): string =>
  JSON.stringify(value, (_key, it: unknown) => (typeof it === 'bigint' ? `0x${it.toString(16)}` : it)) ?? 'nothing';
