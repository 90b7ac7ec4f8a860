/** What unit tests of the model share: machines of plain devices, commands one after another, and their answers. */
import { type State, step } from '../../model/spec.ts';
import type { Command } from '../../trace/command.ts';
import type { DeviceConfig } from '../../trace/machine-config.ts';

/** A device with one BAR, 4 MiB long; each group is a bus of its own. */
export const device = (group: number, more: Partial<DeviceConfig> = {}): DeviceConfig => {
  return { bars: new Map([[2, 0x40_0000n]]), group, bus: group, resets: ['bus'], ...more };
};

/** The choice of a command that makes one, such as an automatic IOVA, where a test does not say which. */
const CHOICE = 0x7000_0000n;

/** The machine after these commands, whatever they answered. */
export const play = (s: State, ...commands: readonly Command[]): State =>
  commands.reduce((state, command) => {
    const outcome = step(state, command, CHOICE);
    return ('state' in outcome && outcome.state) || state;
  }, s);

/** What a command answers: an errno, what it returned, or why its choice is refused. */
export const answer = (s: State, command: Command, choice?: bigint): unknown => {
  const outcome = step(s, command, choice);
  return 'ok' in outcome ? outcome.ok : 'err' in outcome ? outcome.err : outcome.refused;
};
